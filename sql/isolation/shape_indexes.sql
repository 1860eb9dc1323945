-- Indexes of tenants' tables that do not begin with the tenant column: (report, ddl). Only btree
-- and brin can be led by it; of others that this transaction made, ddl is '' and the report says
-- so. ddl is null where the definition is not of the form that is known.
-- $1 schema
WITH tenant_index AS (
    SELECT i.oid, i.relname AS index_name, c.relname AS table_name, m.amname, x.indisreplident,
           i.xmin = pg_catalog.pg_current_xact_id_if_assigned()::xid AS fresh,
           pg_catalog.pg_get_indexdef(i.oid) AS definition,
           format('CREATE %sINDEX %s ON %s.%s USING %s (',
                  CASE WHEN x.indisunique THEN 'UNIQUE ' ELSE '' END, quote_ident(i.relname),
                  quote_ident($1::text), quote_ident(c.relname), quote_ident(m.amname)) AS prefix
    FROM pg_catalog.pg_index x
    JOIN pg_catalog.pg_class i ON i.oid = x.indexrelid
    JOIN pg_catalog.pg_am m ON m.oid = i.relam
    JOIN pg_catalog.pg_class c ON c.oid = x.indrelid AND c.relkind = 'r'
    JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
    JOIN pg_catalog.pg_attribute a
      ON a.attrelid = c.oid AND a.attname = 'tenant_id' AND NOT a.attisdropped
    WHERE n.nspname = $1::text AND x.indkey[0] <> a.attnum
      AND NOT EXISTS (SELECT FROM pg_catalog.pg_constraint k
                      WHERE k.conindid = i.oid AND k.contype IN ('p', 'u', 'x'))
      AND coalesce(pg_catalog.obj_description(c.oid, 'pg_class'), '') !~ '^@reeve:shared'
)
SELECT CASE WHEN amname IN ('btree', 'brin')
            THEN format('table %s: index %s led by tenant_id', table_name, index_name)
            ELSE format('table %s: index %s left as it is (%s cannot be led by tenant_id)',
                        table_name, index_name, amname) END AS report,
       CASE WHEN amname NOT IN ('btree', 'brin') THEN ''
            WHEN starts_with(definition, prefix) THEN
                format('DROP INDEX %I.%I; ', $1::text, index_name)
                || prefix || 'tenant_id, ' || substr(definition, length(prefix) + 1)
                || coalesce(format('; COMMENT ON INDEX %I.%I IS ', $1::text, index_name)
                       || quote_literal(pg_catalog.obj_description(oid, 'pg_class')), '')
                || CASE WHEN indisreplident
                   THEN format('; ALTER TABLE %I.%I REPLICA IDENTITY USING INDEX %I', $1::text,
                               table_name, index_name) ELSE '' END
       END AS ddl,
       table_name
FROM tenant_index
WHERE amname IN ('btree', 'brin') OR fresh
ORDER BY table_name, index_name
