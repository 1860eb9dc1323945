-- Tenants' tables without the tenant column as Reeve makes it.
-- $1 tables that row-level security keeps apart, $2 other tables in shape
SELECT format('%I.%I', n.nspname, c.relname) AS object,
       CASE WHEN a.attnum IS NULL THEN 'has no column "tenant_id": its rows belong to nobody'
            WHEN a.atttypid <> 'pg_catalog.int8'::pg_catalog.regtype
            THEN 'column "tenant_id" is not a bigint'
            ELSE 'column "tenant_id" may be null' END AS message,
       'run the service''s next migration: it brings tables into shape' AS remedy,
       n.nspname AS subject,
       CASE WHEN c.oid = ANY ($1::oid[]) THEN NULL ELSE 'warning' END AS severity
FROM pg_catalog.pg_class c
JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
LEFT JOIN pg_catalog.pg_attribute a
  ON a.attrelid = c.oid AND a.attname = 'tenant_id' AND NOT a.attisdropped
WHERE c.oid = ANY ($1::oid[] || $2::oid[])
  AND (a.attnum IS NULL OR NOT a.attnotnull
       OR a.atttypid <> 'pg_catalog.int8'::pg_catalog.regtype)
ORDER BY 1
