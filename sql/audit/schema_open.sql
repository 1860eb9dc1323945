-- Schemas in which tenants may make objects: those of others' search_path would find them.
-- $1 schemas of the targets
SELECT format('schema %I', n.nspname) AS object,
       format('%s may create objects in it',
              string_agg(CASE a.grantee WHEN 0 THEN 'PUBLIC'
                         ELSE format('role "%s"', pg_catalog.pg_get_userbyid(a.grantee)) END, ', '
                         ORDER BY a.grantee)) AS message,
       format('REVOKE CREATE ON SCHEMA %I FROM %s', n.nspname,
              string_agg(CASE a.grantee WHEN 0 THEN 'PUBLIC'
                         ELSE quote_ident(pg_catalog.pg_get_userbyid(a.grantee)) END, ', '
                         ORDER BY a.grantee)) AS remedy,
       NULL AS subject, NULL AS severity
FROM pg_catalog.pg_namespace n
CROSS JOIN LATERAL pg_catalog.aclexplode(
    coalesce(n.nspacl, pg_catalog.acldefault('n', n.nspowner))) a
WHERE a.privilege_type = 'CREATE' AND n.nspname <> ALL ($1::text[]::name[])
  AND (a.grantee = 0
       OR pg_catalog.pg_get_userbyid(a.grantee) ~ '^(t_[0-9]{6,}(_[0-9]+)?(_ro)?|(run|use)_.+|reeve_pool)$')
GROUP BY n.nspname
ORDER BY 1
