-- Shared tables: (name, bytes with indexes and long values, pages, what a row takes as an
-- expression that reads no long value).
-- $1 schema
SELECT c.relname,
       pg_catalog.pg_total_relation_size(c.oid),
       pg_catalog.pg_relation_size(c.oid) / current_setting('block_size')::bigint,
       '24' || string_agg(format(' + coalesce(pg_catalog.pg_column_size(%I), 0)', a.attname), ''
                          ORDER BY a.attnum)
FROM pg_catalog.pg_class c
JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
JOIN pg_catalog.pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
WHERE n.nspname = $1::text AND c.relkind = 'r'
  AND coalesce(pg_catalog.obj_description(c.oid, 'pg_class'), '') !~ '^@reeve:shared'
GROUP BY c.oid, c.relname
HAVING bool_or(a.attname = 'tenant_id')
ORDER BY c.relname
