DELETE FROM reeve.service_database
WHERE service_id = $1 AND cluster_id = $2 AND ($3::text IS NULL OR database = $3)
