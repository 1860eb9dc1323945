-- Whether a table has a foreign key on these columns (behind the tenant column) to that table.
-- $1 schema, $2 table, $3 columns, $4 referenced table
SELECT EXISTS (
    SELECT FROM pg_catalog.pg_constraint k
    JOIN pg_catalog.pg_class c ON c.oid = k.conrelid
    JOIN pg_catalog.pg_class t ON t.oid = k.confrelid
    JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
    WHERE n.nspname = $1::text::name AND c.relname = $2::text::name
      AND t.relnamespace = n.oid AND t.relname = $4::text::name AND k.contype = 'f'
      AND ARRAY['tenant_id'] || $3::text[] =
          (SELECT array_agg(a.attname::text ORDER BY u.position)
           FROM unnest(k.conkey) WITH ORDINALITY AS u(attnum, position)
           JOIN pg_catalog.pg_attribute a ON a.attrelid = c.oid AND a.attnum = u.attnum))
