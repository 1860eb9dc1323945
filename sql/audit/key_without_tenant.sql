-- Unique keys and exclusion constraints that span tenants: whoever inserts learns what others have.
-- $1 tables that row-level security keeps apart, $2 other tables in shape
SELECT format('%I.%I', n.nspname, i.relname) AS object,
       format('unique key of table "%s" does not hold "tenant_id": a conflict tells one tenant of '
              'another''s rows', c.relname) AS message,
       CASE WHEN c.oid = ANY ($1::oid[]) THEN 'make the key anew with tenant_id as its first column'
            ELSE 'make the key anew with tenant_id as its last column' END AS remedy,
       n.nspname AS subject,
       CASE WHEN c.oid = ANY ($1::oid[]) THEN NULL ELSE 'warning' END AS severity
FROM pg_catalog.pg_index x
JOIN pg_catalog.pg_class i ON i.oid = x.indexrelid
JOIN pg_catalog.pg_class c ON c.oid = x.indrelid
JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
JOIN pg_catalog.pg_attribute a
  ON a.attrelid = c.oid AND a.attname = 'tenant_id' AND NOT a.attisdropped
LEFT JOIN pg_catalog.pg_constraint k
  ON k.conrelid = c.oid AND k.conindid = x.indexrelid AND k.contype = 'x'
WHERE x.indrelid = ANY ($1::oid[] || $2::oid[])
  AND CASE WHEN k.oid IS NULL
      THEN x.indisunique
           AND NOT a.attnum = ANY ((x.indkey::pg_catalog.int2[])[0:x.indnkeyatts - 1])
      ELSE NOT EXISTS (SELECT FROM unnest(k.conkey, k.conexclop) AS e(attnum, operator)
                       JOIN pg_catalog.pg_operator o ON o.oid = e.operator
                       WHERE e.attnum = a.attnum AND o.oprname = '=') END
ORDER BY 1
