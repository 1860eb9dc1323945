-- Foreign servers: connections that the server itself opens.
SELECT format('server %I', s.srvname) AS object,
       CASE WHEN open.yes THEN 'tenants may use it, and so reach what this server reaches'
            ELSE 'leads out of this database' END AS message,
       format('DROP SERVER %I CASCADE', s.srvname) AS remedy,
       NULL AS subject, CASE WHEN NOT open.yes THEN 'warning' END AS severity
FROM pg_catalog.pg_foreign_server s
CROSS JOIN LATERAL (
    SELECT EXISTS (SELECT FROM pg_catalog.aclexplode(s.srvacl) a
                   WHERE a.grantee = 0
                      OR pg_catalog.pg_get_userbyid(a.grantee)
                         ~ '^(t_[0-9]{6,}(_[0-9]+)?(_ro)?|(run|use)_.+|reeve_pool)$')
        OR EXISTS (SELECT FROM pg_catalog.pg_user_mappings m
                   WHERE m.srvid = s.oid
                     AND (m.umuser = 0
                          OR m.usename ~ '^(t_[0-9]{6,}(_[0-9]+)?(_ro)?|(run|use)_.+|reeve_pool)$')) AS yes
) open
ORDER BY 1
