INSERT INTO reeve.cluster (name, conninfo, admin_user, admin_password, maintenance_db, max_backends,
                           enforcement, enforcement_reason, guard_library, pool_role, pool_password)
VALUES ($1, $2, $3, $4, $5, $6,
        coalesce($7::text, 'login'), coalesce($8::text, ''), $9, $10, $11)
RETURNING id
