-- Roles that may log in and must not: groups, those of suspended tenants, and those that tenants are
-- entered as under the guard.
-- $1 group roles, $2 roles of suspended tenants, $3 roles that are only entered
SELECT format('role %I', r.rolname) AS object,
       CASE WHEN r.rolname = ANY ($1::text[]::name[]) THEN 'is a group, but may log in'
            WHEN r.rolname = ANY ($2::text[]::name[])
            THEN 'belongs to a suspended tenant, but may log in'
            ELSE 'is entered under the guard, but may log in past it' END AS message,
       format('ALTER ROLE %I NOLOGIN', r.rolname) AS remedy,
       r.rolname AS subject, NULL AS severity
FROM pg_catalog.pg_roles r
WHERE r.rolname = ANY ($1::text[]::name[] || $2::text[]::name[] || $3::text[]::name[])
  AND r.rolcanlogin
ORDER BY 1
