-- Tables that are declared reference data for all to read, but hold tenants' rows.
-- $1 targets, $2 shared reference tables
SELECT format('%I.%I', n.nspname, c.relname) AS object,
       'is declared @reeve:shared, but has a column "tenant_id": every tenant reads all of it'
         AS message,
       format('COMMENT ON TABLE %I.%I IS NULL, or drop the column; then run the service''s next '
              'migration', n.nspname, c.relname) AS remedy,
       n.nspname AS subject, CASE WHEN t.row_security THEN NULL ELSE 'warning' END AS severity
FROM jsonb_to_recordset($1::jsonb) AS t(schema text, shaped boolean, row_security boolean)
JOIN pg_catalog.pg_namespace n ON n.nspname = t.schema::name
JOIN pg_catalog.pg_class c ON c.relnamespace = n.oid AND c.oid = ANY ($2::oid[])
JOIN pg_catalog.pg_attribute a
  ON a.attrelid = c.oid AND a.attname = 'tenant_id' AND NOT a.attisdropped
WHERE t.shaped OR t.row_security
ORDER BY 1
