-- Settings that only a superuser may change, given to tenants: session_replication_role, for one,
-- switches off foreign keys and triggers. An owner role, in which only Reeve logs in, has that one as
-- long as tenants of its are copied, and as their old places are followed.
SELECT format('parameter %I', p.parname) AS object,
       format('%s has %s', CASE a.grantee WHEN 0 THEN 'PUBLIC'
              ELSE format('role "%s"', pg_catalog.pg_get_userbyid(a.grantee)) END,
              a.privilege_type)
       || CASE WHEN p.parname = 'session_replication_role'
                AND pg_catalog.pg_get_userbyid(a.grantee) ~ '^own_'
          THEN ', which it needs while a tenant is moved and its old place is kept' ELSE '' END AS message,
       format('REVOKE %s ON PARAMETER %I FROM %s', a.privilege_type, p.parname,
              CASE a.grantee WHEN 0 THEN 'PUBLIC'
              ELSE quote_ident(pg_catalog.pg_get_userbyid(a.grantee)) END) AS remedy,
       CASE WHEN a.grantee <> 0 THEN pg_catalog.pg_get_userbyid(a.grantee) END AS subject,
       CASE WHEN p.parname = 'session_replication_role'
             AND pg_catalog.pg_get_userbyid(a.grantee) ~ '^own_' THEN 'info' END AS severity
FROM pg_catalog.pg_parameter_acl p
CROSS JOIN LATERAL pg_catalog.aclexplode(p.paracl) a
WHERE a.grantee = 0
   OR pg_catalog.pg_get_userbyid(a.grantee) ~ '^(t_[0-9]{6,}(_[0-9]+)?(_ro)?|(own|run|use)_.+|reeve_pool)$'
ORDER BY 1, 2
