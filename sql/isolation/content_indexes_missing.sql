-- Of indexes those that are not there, or not valid: (table, index). $1 schema, $2 tables, $3 their indexes
SELECT w.table_name, w.index_name
FROM unnest($2::text[], $3::text[]) AS w(table_name, index_name)
WHERE NOT EXISTS (
    SELECT FROM pg_catalog.pg_index i
    JOIN pg_catalog.pg_class x ON x.oid = i.indexrelid
    JOIN pg_catalog.pg_class c ON c.oid = i.indrelid
    JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
    WHERE n.nspname = $1::text AND c.relname = w.table_name AND x.relname = w.index_name
      AND i.indisvalid)
ORDER BY 1, 2
