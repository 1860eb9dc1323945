-- $1 roles that sessions of tenants and of the proxy may have, $2 owner roles
SELECT format('role %I', r.rolname) AS object,
       format('has %s', concat_ws(', ', CASE WHEN r.rolsuper THEN 'SUPERUSER' END,
                                  CASE WHEN r.rolbypassrls THEN 'BYPASSRLS' END,
                                  CASE WHEN r.rolcreaterole THEN 'CREATEROLE' END,
                                  CASE WHEN r.rolcreatedb THEN 'CREATEDB' END,
                                  CASE WHEN r.rolreplication THEN 'REPLICATION' END)) AS message,
       format('ALTER ROLE %I NOSUPERUSER NOBYPASSRLS NOCREATEROLE NOCREATEDB NOREPLICATION',
              r.rolname) AS remedy,
       r.rolname AS subject, NULL AS severity
FROM pg_catalog.pg_roles r
WHERE r.rolname = ANY ($1::text[]::name[] || $2::text[]::name[])
  AND (r.rolsuper OR r.rolbypassrls OR r.rolcreaterole OR r.rolcreatedb OR r.rolreplication)
ORDER BY 1
