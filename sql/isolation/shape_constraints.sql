-- Primary keys and unique constraints without the tenant column: (report, ddl). The index is made
-- anew from its own definition with tenant_id put in front of its columns, and becomes the
-- constraint, so that INCLUDE, NULLS NOT DISTINCT and storage parameters stay.
-- $1 schema
WITH tenant_key AS (
    SELECT k.oid, k.conname, k.contype, k.condeferrable, k.condeferred, k.conindid,
           c.oid AS table_oid, c.relname AS table_name, i.relname AS index_name, x.indisreplident,
           pg_catalog.pg_get_indexdef(k.conindid) AS definition,
           format('CREATE UNIQUE INDEX %s ON %s.%s USING btree (', quote_ident(i.relname),
                  quote_ident($1::text), quote_ident(c.relname)) AS prefix
    FROM pg_catalog.pg_constraint k
    JOIN pg_catalog.pg_class c ON c.oid = k.conrelid AND c.relkind = 'r'
    JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
    JOIN pg_catalog.pg_class i ON i.oid = k.conindid
    JOIN pg_catalog.pg_index x ON x.indexrelid = k.conindid
    JOIN pg_catalog.pg_attribute a
      ON a.attrelid = c.oid AND a.attname = 'tenant_id' AND NOT a.attisdropped
    WHERE n.nspname = $1::text AND k.contype IN ('p', 'u') AND NOT a.attnum = ANY (k.conkey)
      AND coalesce(pg_catalog.obj_description(c.oid, 'pg_class'), '') !~ '^@reeve:shared'
)
SELECT format('table %s: %s %s led by tenant_id', table_name,
              CASE contype WHEN 'p' THEN 'primary key' ELSE 'unique constraint' END, conname)
         AS report,
       CASE WHEN starts_with(definition, prefix) THEN
           format('ALTER TABLE %I.%I DROP CONSTRAINT %I; ', $1::text, table_name, conname)
           || prefix || 'tenant_id, ' || substr(definition, length(prefix) + 1)
           || format('; ALTER TABLE %I.%I ADD CONSTRAINT %I %s USING INDEX %I', $1::text, table_name,
                     conname, CASE contype WHEN 'p' THEN 'PRIMARY KEY' ELSE 'UNIQUE' END,
                     index_name)
           || CASE WHEN condeferrable THEN ' DEFERRABLE' ELSE '' END
           || CASE WHEN condeferred THEN ' INITIALLY DEFERRED' ELSE '' END
           || coalesce(format('; COMMENT ON CONSTRAINT %I ON %I.%I IS ', conname, $1::text, table_name)
                       || quote_literal(pg_catalog.obj_description(oid, 'pg_constraint')), '')
           || coalesce(format('; COMMENT ON INDEX %I.%I IS ', $1::text, index_name)
                       || quote_literal(pg_catalog.obj_description(conindid, 'pg_class')), '')
           || CASE WHEN indisreplident
              THEN format('; ALTER TABLE %I.%I REPLICA IDENTITY USING INDEX %I', $1::text, table_name,
                          index_name) ELSE '' END
       END AS ddl,
       table_name
FROM tenant_key
ORDER BY table_name, conname
