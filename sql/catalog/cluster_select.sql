SELECT id, name, conninfo, admin_user, admin_password, maintenance_db, max_backends,
       reeve.unix_us(created_at), enforcement, enforcement_reason, guard_library, pool_role,
       pool_password, (SELECT i.id FROM reeve.installation i), coalesce(disk_bytes, 0)
FROM reeve.cluster
WHERE ($1::bigint IS NULL OR id = $1) AND ($2::text IS NULL OR name = $2)
ORDER BY name
