-- Indexes of shared tables that are not led by the tenant column. Only btree and brin can be;
-- others are told of because a search in them passes over all tenants' entries.
-- $1 tables that row-level security keeps apart
SELECT format('%I.%I', n.nspname, i.relname) AS object,
       format('%s index of table "%s" is not led by "tenant_id"%s', m.amname, c.relname,
              CASE WHEN m.amname IN ('btree', 'brin') THEN ''
              ELSE ', and cannot be: searches pass over other tenants'' entries' END) AS message,
       CASE WHEN m.amname IN ('btree', 'brin')
            THEN 'make the index anew with tenant_id as its first column'
            ELSE 'nothing needs to be done' END AS remedy,
       n.nspname AS subject,
       CASE WHEN m.amname IN ('btree', 'brin') THEN NULL ELSE 'info' END AS severity
FROM pg_catalog.pg_index x
JOIN pg_catalog.pg_class i ON i.oid = x.indexrelid
JOIN pg_catalog.pg_am m ON m.oid = i.relam
JOIN pg_catalog.pg_class c ON c.oid = x.indrelid
JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
JOIN pg_catalog.pg_attribute a
  ON a.attrelid = c.oid AND a.attname = 'tenant_id' AND NOT a.attisdropped
WHERE x.indrelid = ANY ($1::oid[]) AND NOT x.indisunique AND NOT x.indisexclusion
  AND x.indkey[0] <> a.attnum
ORDER BY 1
