-- Large objects know no tenants: whoever may make one may fill the database that all share, and read
-- what others left open.
SELECT 'large objects' AS object,
       format('PUBLIC may call %s', string_agg(DISTINCT p.proname::text, ', ')) AS message,
       'REVOKE EXECUTE on these functions FROM PUBLIC, as a superuser; where there is none, it stays'
         AS remedy,
       NULL AS subject, NULL AS severity
FROM pg_catalog.pg_proc p
WHERE p.pronamespace = 'pg_catalog'::pg_catalog.regnamespace
  AND p.proname IN ('lo_creat', 'lo_create', 'lo_from_bytea', 'lo_open', 'lo_close', 'lo_get',
                    'lo_put', 'loread', 'lowrite', 'lo_lseek', 'lo_lseek64', 'lo_tell',
                    'lo_tell64', 'lo_truncate', 'lo_truncate64', 'lo_unlink', 'lo_import',
                    'lo_export')
  AND pg_catalog.has_function_privilege('public', p.oid, 'EXECUTE')
HAVING count(*) > 0
