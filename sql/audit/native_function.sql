-- Functions in C that belong to no extension: nothing says what they are, and no right binds them.
SELECT format('function %I.%I(%s)', n.nspname, p.proname,
              pg_catalog.pg_get_function_identity_arguments(p.oid)) AS object,
       format('is code of the server''s own process ("%s") and belongs to no extension',
              coalesce(p.probin, p.prosrc)) AS message,
       format('DROP ROUTINE %I.%I(%s)', n.nspname, p.proname,
              pg_catalog.pg_get_function_identity_arguments(p.oid)) AS remedy,
       NULL AS subject, NULL AS severity
FROM pg_catalog.pg_proc p
JOIN pg_catalog.pg_namespace n ON n.oid = p.pronamespace
JOIN pg_catalog.pg_language l ON l.oid = p.prolang AND l.lanname IN ('c', 'internal')
WHERE p.oid >= 16384::oid -- below are those of initdb
  AND NOT EXISTS (SELECT FROM pg_catalog.pg_depend d
                  WHERE d.classid = 'pg_catalog.pg_proc'::pg_catalog.regclass AND d.objid = p.oid
                    AND d.deptype = 'e')
  -- The guard's functions, where Reeve has put them there by its library's path.
  AND NOT (n.nspname = 'reeve' AND p.prosrc LIKE 'reeve\_guard\_%'
           AND p.probin LIKE '%reeve\_guard%')
ORDER BY 1
