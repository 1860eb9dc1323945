SELECT id, name, conninfo, max_backends, coalesce(pool_role, ''), pool_password
FROM reeve.cluster ORDER BY id
