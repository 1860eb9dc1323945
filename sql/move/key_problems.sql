-- Tables of whose rows the stream could not say which changes: (what, remedy). $1 schema
SELECT format('table "%s" has no primary key (or a deferrable one) to say which of its rows changes', c.relname) AS what,
       'give it a primary key, with the default replica identity; or move with --offline' AS remedy
FROM pg_catalog.pg_class c
JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
WHERE n.nspname = $1::text AND c.relkind = 'r'
  AND coalesce(pg_catalog.obj_description(c.oid, 'pg_class'), '') !~ '^@reeve:shared'
  AND (c.relreplident <> 'd'
       OR NOT EXISTS (SELECT FROM pg_catalog.pg_index i WHERE i.indrelid = c.oid AND i.indisprimary
                      AND i.indimmediate AND i.indisvalid))
UNION ALL
SELECT format('table "%s" is unlogged: the stream does not tell of it', c.relname),
       format('ALTER TABLE %I SET LOGGED; or move with --offline', c.relname)
FROM pg_catalog.pg_class c
JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
WHERE n.nspname = $1::text AND c.relkind = 'r' AND c.relpersistence = 'u'
ORDER BY 1
