SELECT id, service_id, cluster_id, kind, database, schema_version
FROM reeve.service_database
WHERE service_id = $1 AND ($2::bigint IS NULL OR cluster_id = $2)
  AND ($3::text IS NULL OR kind = $3)
ORDER BY cluster_id, kind, id
