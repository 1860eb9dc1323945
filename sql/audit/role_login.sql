-- Roles that may log in and must not: groups, and those of suspended tenants.
-- $1 group roles, $2 roles of suspended tenants
SELECT format('role %I', r.rolname) AS object,
       CASE WHEN r.rolname = ANY ($1::text[]::name[]) THEN 'is a group, but may log in'
            ELSE 'belongs to a suspended tenant, but may log in' END AS message,
       format('ALTER ROLE %I NOLOGIN', r.rolname) AS remedy,
       r.rolname AS subject, NULL AS severity
FROM pg_catalog.pg_roles r
WHERE r.rolname = ANY ($1::text[]::name[] || $2::text[]::name[]) AND r.rolcanlogin
ORDER BY 1
