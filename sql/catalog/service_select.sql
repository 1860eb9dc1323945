SELECT id, name, isolation, allowed, migrations_dir, cluster_id, reeve.unix_us(created_at)
FROM reeve.service
WHERE ($1::bigint IS NULL OR id = $1) AND ($2::text IS NULL OR name = $2)
ORDER BY name
