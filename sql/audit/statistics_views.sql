-- CVE-2024-4317: the fix of these views comes with initdb alone; a server that was made before and
-- updated since still has the old ones, until its own script has been run in every database.
SELECT format('view pg_catalog.%I', c.relname) AS object,
       'shows statistics of tables to others than their owners (CVE-2024-4317): the fix has not been '
       'applied to this database' AS message,
       'run fix-CVE-2024-4317.sql of the server''s share folder in every database, as a superuser'
         AS remedy,
       NULL AS subject, NULL AS severity
FROM pg_catalog.pg_class c
WHERE c.relnamespace = 'pg_catalog'::pg_catalog.regnamespace
  AND c.relname IN ('pg_stats_ext', 'pg_stats_ext_exprs')
  AND pg_catalog.pg_get_viewdef(c.oid) !~ 'pg_has_role'
ORDER BY 1
