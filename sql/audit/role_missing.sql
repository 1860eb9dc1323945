-- $1 roles that there must be
SELECT format('role %I', wanted) AS object, 'the catalog has it, but the server has not' AS message,
       'detach the tenant from the service and attach it again, or restore the role from a backup'
         AS remedy,
       wanted AS subject, NULL AS severity
FROM unnest($1::text[]) AS wanted
WHERE NOT EXISTS (SELECT FROM pg_catalog.pg_roles WHERE rolname = wanted::name)
ORDER BY 1
