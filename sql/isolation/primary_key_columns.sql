-- Columns of a table's primary key without the tenant column: (text[]). $1 schema, $2 table
SELECT coalesce(array_agg(a.attname::text ORDER BY u.position), '{}')
FROM pg_catalog.pg_constraint k
JOIN pg_catalog.pg_class c ON c.oid = k.conrelid
JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
CROSS JOIN unnest(k.conkey) WITH ORDINALITY AS u(attnum, position)
JOIN pg_catalog.pg_attribute a ON a.attrelid = c.oid AND a.attnum = u.attnum
WHERE n.nspname = $1::text::name AND c.relname = $2::text::name AND k.contype = 'p'
  AND a.attname <> 'tenant_id'
