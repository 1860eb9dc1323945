INSERT INTO reeve.service_database (service_id, cluster_id, kind, database, schema_version)
VALUES ($1, $2, $3, $4, $5)
ON CONFLICT (service_id, cluster_id, kind, database) DO NOTHING
