-- Large objects know no tenants: nobody but a superuser may make or open them. Only a superuser can
-- take these rights away; elsewhere this gives nothing.
SELECT format('REVOKE EXECUTE ON FUNCTION %s FROM PUBLIC', p.oid::pg_catalog.regprocedure) AS ddl
FROM pg_catalog.pg_proc p
JOIN pg_catalog.pg_roles r ON r.rolname = current_user AND r.rolsuper
WHERE p.pronamespace = 'pg_catalog'::pg_catalog.regnamespace
  AND p.proname IN ('lo_creat', 'lo_create', 'lo_from_bytea', 'lo_open', 'lo_close', 'lo_get',
                    'lo_put', 'loread', 'lowrite', 'lo_lseek', 'lo_lseek64', 'lo_tell',
                    'lo_tell64', 'lo_truncate', 'lo_truncate64', 'lo_unlink')
  AND pg_catalog.has_function_privilege('public', p.oid, 'EXECUTE')
ORDER BY 1
