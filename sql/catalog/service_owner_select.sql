SELECT service_id, cluster_id, role, password
FROM reeve.service_owner
WHERE service_id = $1 AND cluster_id = $2
