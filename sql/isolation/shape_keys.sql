-- Primary keys, unique constraints and indexes whose tenant column is not where it belongs: (report,
-- ddl). In shared tables it comes first, of all of them. In a tenant's own tables it is the same in
-- every row and no policy asks for it, so it comes last, and only into what is unique: a search by the
-- other columns finds its way.
-- The index is made anew from its own definition, and where it was a constraint's becomes that again,
-- so that INCLUDE, NULLS NOT DISTINCT, storage parameters and predicates stay. Only btree and brin can
-- be led by a column; of others that this transaction made, ddl is '' and the report says so. ddl is
-- null where the definition is not of the form that is known.
-- $1 schema, $2 whether it comes first
WITH tenant_index AS (
    SELECT k.oid AS constraint_oid, k.conname, k.contype, k.condeferrable, k.condeferred,
           i.oid AS index_oid, i.relname AS index_name, c.relname AS table_name, m.amname,
           x.indisreplident,
           i.xmin = pg_catalog.pg_current_xact_id_if_assigned()::xid AS fresh,
           pg_catalog.pg_get_indexdef(i.oid) AS definition,
           format('CREATE %sINDEX %s ON %s.%s USING %s (',
                  CASE WHEN x.indisunique THEN 'UNIQUE ' ELSE '' END, quote_ident(i.relname),
                  quote_ident($1::text), quote_ident(c.relname), quote_ident(m.amname)) AS prefix,
           -- What pg_get_indexdef puts behind the last column of the key (ruleutils.c).
           ')'
           || coalesce(' INCLUDE ('
                       || (SELECT string_agg(pg_catalog.pg_get_indexdef(i.oid, position, false), ', '
                                             ORDER BY position)
                           FROM generate_series(x.indnkeyatts + 1, x.indnatts) AS position)
                       || ')', '')
           || CASE WHEN x.indnullsnotdistinct THEN ' NULLS NOT DISTINCT' ELSE '' END
           || coalesce(' WITH ('
                       || (SELECT string_agg(quote_ident(o.option_name) || '='
                                             || CASE WHEN quote_ident(o.option_value) = o.option_value
                                                THEN o.option_value
                                                ELSE quote_literal(o.option_value) END, ', '
                                             ORDER BY o.ordinality)
                           FROM pg_catalog.pg_options_to_table(i.reloptions) WITH ORDINALITY AS o)
                       || ')', '')
           || coalesce(' WHERE ' || pg_catalog.pg_get_expr(x.indpred, x.indrelid), '') AS suffix
    FROM pg_catalog.pg_index x
    JOIN pg_catalog.pg_class i ON i.oid = x.indexrelid
    JOIN pg_catalog.pg_am m ON m.oid = i.relam
    JOIN pg_catalog.pg_class c ON c.oid = x.indrelid AND c.relkind = 'r'
    JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
    JOIN pg_catalog.pg_attribute a
      ON a.attrelid = c.oid AND a.attname = 'tenant_id' AND NOT a.attisdropped
    LEFT JOIN pg_catalog.pg_constraint k
      ON k.conindid = i.oid AND k.conrelid = c.oid AND k.contype IN ('p', 'u', 'x')
    WHERE n.nspname = $1::text
      AND coalesce(pg_catalog.obj_description(c.oid, 'pg_class'), '') !~ '^@reeve:shared'
      AND k.contype IS DISTINCT FROM 'x'
      AND CASE WHEN $2::boolean AND k.oid IS NULL THEN x.indkey[0] <> a.attnum
          ELSE x.indisunique
               AND NOT a.attnum = ANY ((x.indkey::pg_catalog.int2[])[0:x.indnkeyatts - 1]) END
), tenant_key AS (
    SELECT *, CASE WHEN NOT starts_with(definition, prefix) THEN NULL
              WHEN $2::boolean THEN prefix || 'tenant_id, ' || substr(definition, length(prefix) + 1)
              WHEN right(definition, length(suffix)) = suffix
              THEN left(definition, -length(suffix)) || ', tenant_id' || suffix END AS wanted,
           CASE WHEN $2::boolean THEN 'led by tenant_id' ELSE 'with tenant_id last' END AS how,
           CASE contype WHEN 'p' THEN 'primary key' WHEN 'u' THEN 'unique constraint'
           ELSE 'index' END AS kind
    FROM tenant_index
)
SELECT CASE WHEN amname IN ('btree', 'brin') OR constraint_oid IS NOT NULL
            THEN format('table %s: %s %s %s', table_name, kind, coalesce(conname, index_name), how)
            ELSE format('table %s: index %s left as it is (%s cannot be led by tenant_id)',
                        table_name, index_name, amname) END AS report,
       CASE WHEN amname NOT IN ('btree', 'brin') AND constraint_oid IS NULL THEN ''
            ELSE coalesce(format('ALTER TABLE %I.%I DROP CONSTRAINT ', $1::text, table_name)
                          || quote_ident(conname), format('DROP INDEX %I.%I', $1::text, index_name))
                 || '; ' || wanted
                 || coalesce(format('; ALTER TABLE %I.%I ADD CONSTRAINT ', $1::text, table_name)
                             || quote_ident(conname)
                             || CASE contype WHEN 'p' THEN ' PRIMARY KEY' ELSE ' UNIQUE' END
                             || format(' USING INDEX %I', index_name)
                             || CASE WHEN condeferrable THEN ' DEFERRABLE' ELSE '' END
                             || CASE WHEN condeferred THEN ' INITIALLY DEFERRED' ELSE '' END, '')
                 || coalesce('; COMMENT ON CONSTRAINT ' || quote_ident(conname)
                             || format(' ON %I.%I IS ', $1::text, table_name)
                             || quote_literal(pg_catalog.obj_description(constraint_oid,
                                                                         'pg_constraint')), '')
                 || coalesce(format('; COMMENT ON INDEX %I.%I IS ', $1::text, index_name)
                             || quote_literal(pg_catalog.obj_description(index_oid, 'pg_class')), '')
                 || CASE WHEN indisreplident
                    THEN format('; ALTER TABLE %I.%I REPLICA IDENTITY USING INDEX %I', $1::text,
                                table_name, index_name) ELSE '' END
       END AS ddl,
       table_name
FROM tenant_key
WHERE amname IN ('btree', 'brin') OR fresh OR constraint_oid IS NOT NULL
ORDER BY conname IS NULL, table_name, conname, index_name
