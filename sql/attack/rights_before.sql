-- Rights on shared tables that nobody but their owner may have: (line). Making a tenant takes them
-- back. $1 schema
SELECT format('%s on %s for %s', a.privilege_type, c.relname,
              CASE a.grantee WHEN 0 THEN 'everybody'
              ELSE pg_catalog.pg_get_userbyid(a.grantee) END)
FROM pg_catalog.pg_class c
JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
CROSS JOIN LATERAL pg_catalog.aclexplode(c.relacl) a
WHERE n.nspname = $1::text AND c.relkind IN ('r', 'v', 'm', 'p', 'f') AND a.grantee <> c.relowner
  AND (a.grantee = 0 OR a.privilege_type IN ('TRUNCATE', 'REFERENCES', 'TRIGGER')
       OR a.privilege_type IN ('INSERT', 'UPDATE', 'DELETE')
          AND coalesce(pg_catalog.obj_description(c.oid, 'pg_class'), '') ~ '^@reeve:shared')
ORDER BY 1
