-- Unique keys that hold the tenant column, but not in front: right, yet a tenant's rows are not
-- together in them.
-- $1 tables that row-level security keeps apart
SELECT format('%I.%I', n.nspname, i.relname) AS object,
       format('unique key of table "%s" is not led by "tenant_id"', c.relname) AS message,
       'make the key anew with tenant_id as its first column' AS remedy,
       n.nspname AS subject, NULL AS severity
FROM pg_catalog.pg_index x
JOIN pg_catalog.pg_class i ON i.oid = x.indexrelid
JOIN pg_catalog.pg_class c ON c.oid = x.indrelid
JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
JOIN pg_catalog.pg_attribute a
  ON a.attrelid = c.oid AND a.attname = 'tenant_id' AND NOT a.attisdropped
WHERE x.indrelid = ANY ($1::oid[]) AND x.indisunique AND x.indkey[0] <> a.attnum
  AND a.attnum = ANY ((x.indkey::pg_catalog.int2[])[0:x.indnkeyatts - 1])
ORDER BY 1
