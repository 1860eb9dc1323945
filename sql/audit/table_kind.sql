-- Relations that cannot be kept apart by row: policies do not hold there, or not on every way in.
-- $1 targets, $2 relations of the targets
SELECT format('%I.%I', n.nspname, c.relname) AS object,
       CASE c.relkind WHEN 'm' THEN 'is a materialized view: it holds rows of whoever filled it'
                      WHEN 'f' THEN 'is a foreign table: row-level security does not hold there'
                      ELSE 'is partitioned or inherits: a policy holds only for the table that a '
                           'query names' END AS message,
       'use an ordinary table or view, or a service that does not allow row isolation' AS remedy,
       n.nspname AS subject, CASE WHEN t.row_security THEN NULL ELSE 'warning' END AS severity
FROM jsonb_to_recordset($1::jsonb) AS t(schema text, shaped boolean, row_security boolean)
JOIN pg_catalog.pg_namespace n ON n.nspname = t.schema::name
JOIN pg_catalog.pg_class c ON c.relnamespace = n.oid AND c.oid = ANY ($2::oid[])
WHERE (t.shaped OR t.row_security)
  AND (c.relkind IN ('m', 'f', 'p') OR c.relispartition
       OR EXISTS (SELECT FROM pg_catalog.pg_inherits i
                  WHERE i.inhrelid = c.oid OR i.inhparent = c.oid))
ORDER BY 1
