INSERT INTO reeve.service_owner (service_id, cluster_id, role, password)
VALUES ($1, $2, $3, $4)
ON CONFLICT (service_id, cluster_id) DO NOTHING
