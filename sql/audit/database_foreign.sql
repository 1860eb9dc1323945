-- Tenants' roles with rights on databases that are not theirs, or more than CONNECT on their own.
-- Roles that the catalog did not have when it was read are orphan-role's.
-- $1 roles and $2 databases: who may connect where, $3 roles that sessions of tenants and of the
-- proxy may have, $4 owner roles
SELECT format('database %I', d.datname) AS object,
       format('role "%s" has %s%s', r.rolname, a.privilege_type,
              CASE WHEN a.is_grantable THEN ', and may give it on' ELSE '' END) AS message,
       format('REVOKE %s ON DATABASE %I FROM %I', a.privilege_type, d.datname, r.rolname) AS remedy,
       r.rolname AS subject, NULL AS severity
FROM pg_catalog.pg_database d
CROSS JOIN LATERAL pg_catalog.aclexplode(d.datacl) a
JOIN pg_catalog.pg_roles r ON r.oid = a.grantee
WHERE a.grantee <> d.datdba AND r.rolname = ANY ($3::text[]::name[] || $4::text[]::name[])
  AND NOT (a.privilege_type = 'CONNECT' AND NOT a.is_grantable
           AND EXISTS (SELECT FROM unnest($1::text[], $2::text[]) AS w(role, database)
                       WHERE w.role = r.rolname AND w.database = d.datname))
ORDER BY 1, 2
