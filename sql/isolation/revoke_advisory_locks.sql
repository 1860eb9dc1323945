-- Advisory locks have one key space a database: where tenants share it, nobody may call these. The
-- guard gives each tenant a key space of its own. Only a superuser can take these rights away;
-- elsewhere this gives nothing. What releases a session's own locks stays. Migrations take locks.
-- $1 owner role
SELECT format('REVOKE EXECUTE ON FUNCTION %1$s FROM PUBLIC; GRANT EXECUTE ON FUNCTION %1$s TO %2$I',
              p.oid::pg_catalog.regprocedure, $1::text) AS ddl
FROM pg_catalog.pg_proc p
JOIN pg_catalog.pg_roles r ON r.rolname = current_user AND r.rolsuper
WHERE p.pronamespace = 'pg_catalog'::pg_catalog.regnamespace
  AND p.proname ~ '^pg_(try_)?advisory_' AND p.pronargs > 0
  AND pg_catalog.has_function_privilege('public', p.oid, 'EXECUTE')
ORDER BY 1
