INSERT INTO reeve.cluster (name, conninfo, admin_user, admin_password, maintenance_db, max_backends)
VALUES ($1, $2, $3, $4, $5, $6)
RETURNING id
