-- Settings that only a superuser may change, given to tenants: session_replication_role, for one,
-- switches off foreign keys and triggers.
SELECT format('parameter %I', p.parname) AS object,
       format('%s has %s', CASE a.grantee WHEN 0 THEN 'PUBLIC'
              ELSE format('role "%s"', pg_catalog.pg_get_userbyid(a.grantee)) END,
              a.privilege_type) AS message,
       format('REVOKE %s ON PARAMETER %I FROM %s', a.privilege_type, p.parname,
              CASE a.grantee WHEN 0 THEN 'PUBLIC'
              ELSE quote_ident(pg_catalog.pg_get_userbyid(a.grantee)) END) AS remedy,
       CASE WHEN a.grantee <> 0 THEN pg_catalog.pg_get_userbyid(a.grantee) END AS subject,
       NULL AS severity
FROM pg_catalog.pg_parameter_acl p
CROSS JOIN LATERAL pg_catalog.aclexplode(p.paracl) a
WHERE a.grantee = 0
   OR pg_catalog.pg_get_userbyid(a.grantee) ~ '^(t_[0-9]{6,}(_[0-9]+)?(_ro)?|(own|run|use)_.+|reeve_pool)$'
ORDER BY 1, 2
