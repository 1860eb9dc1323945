INSERT INTO reeve.service (name, isolation, allowed, migrations_dir, cluster_id)
VALUES ($1, $2, $3::text[], $4, $5)
RETURNING id
