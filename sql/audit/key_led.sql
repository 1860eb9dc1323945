-- Keys and indexes of a tenant's own tables that are led by the tenant column. It is the same in every
-- row, so a search by the columns behind it passes over the whole index; PostgreSQL 18 skips over it.
-- $1 tables in shape that are one tenant's own
SELECT format('%I.%I', n.nspname, i.relname) AS object,
       format('%s of table "%s" is led by "tenant_id", which is the same in every row: searches by its '
              'other columns alone pass over all of it',
              CASE WHEN x.indisunique THEN 'unique key' ELSE 'index' END, c.relname) AS message,
       'make it anew in a migration, with tenant_id as its last column, or leave it: queries that name '
       'tenant_id find their way' AS remedy,
       n.nspname AS subject, NULL AS severity
FROM pg_catalog.pg_index x
JOIN pg_catalog.pg_class i ON i.oid = x.indexrelid
JOIN pg_catalog.pg_am m ON m.oid = i.relam AND m.amname = 'btree'
JOIN pg_catalog.pg_class c ON c.oid = x.indrelid
JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
JOIN pg_catalog.pg_attribute a
  ON a.attrelid = c.oid AND a.attname = 'tenant_id' AND NOT a.attisdropped
WHERE x.indrelid = ANY ($1::oid[]) AND x.indkey[0] = a.attnum AND x.indnkeyatts > 1
  AND current_setting('server_version_num')::int < 180000
ORDER BY 1
