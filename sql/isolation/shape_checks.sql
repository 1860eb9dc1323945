-- A tenant's own tables take no other tenant's rows: (report, ddl).
-- $1 schema, $2 the check's SQL as pg_get_constraintdef shows it, '' for none
SELECT CASE WHEN $2::text = '' THEN format('table %s: check of tenant_id dropped', c.relname)
       ELSE format('table %s: check of tenant_id set', c.relname) END AS report,
       concat_ws('; ',
           CASE WHEN k.oid IS NOT NULL
                THEN format('ALTER TABLE %I.%I DROP CONSTRAINT reeve_tenant_check', $1::text, c.relname)
           END,
           CASE WHEN $2::text <> ''
                THEN format('ALTER TABLE %I.%I ADD CONSTRAINT reeve_tenant_check %s', $1::text,
                            c.relname, $2::text) END) AS ddl,
       c.relname
FROM pg_catalog.pg_class c
JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
LEFT JOIN pg_catalog.pg_constraint k
  ON k.conrelid = c.oid AND k.conname = 'reeve_tenant_check' AND k.contype = 'c'
WHERE n.nspname = $1::text AND c.relkind = 'r'
  AND coalesce(pg_catalog.obj_description(c.oid, 'pg_class'), '') !~ '^@reeve:shared'
  AND coalesce(pg_catalog.pg_get_constraintdef(k.oid), '') <> $2::text
ORDER BY c.relname
