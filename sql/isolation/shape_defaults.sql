-- Where the tenant column's value comes from: (report, ddl). Shared tables ask who is logged in, a
-- tenant's own tables know it, a template's have none yet.
-- $1 schema, $2 the default's SQL as pg_get_expr shows it, '' for none
SELECT CASE WHEN $2::text = '' THEN format('table %s: default of tenant_id dropped', c.relname)
       ELSE format('table %s: default of tenant_id set', c.relname) END AS report,
       CASE WHEN $2::text = ''
            THEN format('ALTER TABLE %I.%I ALTER COLUMN tenant_id DROP DEFAULT', $1::text, c.relname)
            ELSE format('ALTER TABLE %I.%I ALTER COLUMN tenant_id SET DEFAULT %s', $1::text, c.relname,
                        $2::text) END AS ddl,
       c.relname
FROM pg_catalog.pg_class c
JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
JOIN pg_catalog.pg_attribute a
  ON a.attrelid = c.oid AND a.attname = 'tenant_id' AND NOT a.attisdropped
LEFT JOIN pg_catalog.pg_attrdef d ON d.adrelid = c.oid AND d.adnum = a.attnum
WHERE n.nspname = $1::text AND c.relkind = 'r'
  AND coalesce(pg_catalog.obj_description(c.oid, 'pg_class'), '') !~ '^@reeve:shared'
  AND coalesce(pg_catalog.pg_get_expr(d.adbin, d.adrelid), '') <> $2::text
ORDER BY c.relname
