-- Functions of the service that run with its owner's rights, which reach every tenant's data.
-- $1 targets, $2 routines of the targets
SELECT format('function %I.%I(%s)', n.nspname, p.proname,
              pg_catalog.pg_get_function_identity_arguments(p.oid)) AS object,
       'is SECURITY DEFINER: it runs with the rights of '
       || pg_catalog.pg_get_userbyid(p.proowner)
       || CASE WHEN EXISTS (SELECT FROM unnest(p.proconfig) AS setting
                            WHERE setting LIKE 'search_path=%')
          THEN '' ELSE ', and its search_path is the caller''s' END AS message,
       format('ALTER ROUTINE %I.%I(%s) SECURITY INVOKER', n.nspname, p.proname,
              pg_catalog.pg_get_function_identity_arguments(p.oid)) AS remedy,
       n.nspname AS subject, CASE WHEN t.row_security THEN NULL ELSE 'warning' END AS severity
FROM jsonb_to_recordset($1::jsonb) AS t(schema text, row_security boolean)
JOIN pg_catalog.pg_namespace n ON n.nspname = t.schema::name
JOIN pg_catalog.pg_proc p ON p.pronamespace = n.oid AND p.oid = ANY ($2::oid[])
WHERE p.prosecdef
ORDER BY 1
