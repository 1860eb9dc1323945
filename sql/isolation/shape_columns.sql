-- Tenants' tables without a tenant column, or with one that may be null: (report, ddl).
-- Where no single tenant owns the table, a table that has rows already makes this fail (23502).
-- $1 schema, $2 tenant id or 0
SELECT CASE WHEN a.attnum IS NULL THEN format('table %s: column tenant_id added', c.relname)
       ELSE format('table %s: column tenant_id set NOT NULL', c.relname) END AS report,
       CASE WHEN a.attnum IS NOT NULL
            THEN format('ALTER TABLE %I.%I ALTER COLUMN tenant_id SET NOT NULL', $1::text, c.relname)
            WHEN $2::bigint = 0
            THEN format('ALTER TABLE %I.%I ADD COLUMN tenant_id bigint NOT NULL', $1::text, c.relname)
            ELSE format('ALTER TABLE %I.%I ADD COLUMN tenant_id bigint NOT NULL DEFAULT %L::bigint',
                        $1::text, c.relname, $2::bigint) END AS ddl,
       c.relname
FROM pg_catalog.pg_class c
JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
LEFT JOIN pg_catalog.pg_attribute a
  ON a.attrelid = c.oid AND a.attname = 'tenant_id' AND NOT a.attisdropped
WHERE n.nspname = $1::text AND c.relkind = 'r'
  AND coalesce(pg_catalog.obj_description(c.oid, 'pg_class'), '') !~ '^@reeve:shared'
  AND (a.attnum IS NULL OR NOT a.attnotnull)
ORDER BY c.relname
