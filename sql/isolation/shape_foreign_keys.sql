-- Foreign keys between tenants' tables that do not carry the tenant column: (report, drop, add).
-- They are dropped before the keys that they reference change, and added behind it.
-- ON DELETE SET NULL and SET DEFAULT get a list of columns, so that the tenant column stays.
-- $1 schema
WITH tenant_table AS (
    SELECT c.oid, c.relname, a.attnum AS tenant
    FROM pg_catalog.pg_class c
    JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
    LEFT JOIN pg_catalog.pg_attribute a
      ON a.attrelid = c.oid AND a.attname = 'tenant_id' AND NOT a.attisdropped
    WHERE n.nspname = $1::text AND c.relkind = 'r'
      AND coalesce(pg_catalog.obj_description(c.oid, 'pg_class'), '') !~ '^@reeve:shared'
), foreign_key AS (
    SELECT k.*, r.relname AS table_name, t.relname AS referenced_name,
           (SELECT string_agg(quote_ident(a.attname), ', ' ORDER BY u.position)
            FROM unnest(k.conkey) WITH ORDINALITY AS u(attnum, position)
            JOIN pg_catalog.pg_attribute a ON a.attrelid = k.conrelid AND a.attnum = u.attnum)
             AS columns,
           (SELECT string_agg(quote_ident(a.attname), ', ' ORDER BY u.position)
            FROM unnest(k.confkey) WITH ORDINALITY AS u(attnum, position)
            JOIN pg_catalog.pg_attribute a ON a.attrelid = k.confrelid AND a.attnum = u.attnum)
             AS referenced_columns,
           (SELECT string_agg(quote_ident(a.attname), ', ' ORDER BY u.position)
            FROM unnest(k.confdelsetcols) WITH ORDINALITY AS u(attnum, position)
            JOIN pg_catalog.pg_attribute a ON a.attrelid = k.conrelid AND a.attnum = u.attnum)
             AS delete_columns
    FROM pg_catalog.pg_constraint k
    JOIN tenant_table r ON r.oid = k.conrelid
    JOIN tenant_table t ON t.oid = k.confrelid
    WHERE k.contype = 'f'
      AND NOT EXISTS (SELECT FROM unnest(k.conkey, k.confkey) AS pair(referencing, referenced)
                      WHERE pair.referencing = r.tenant AND pair.referenced = t.tenant)
)
SELECT format('table %s: foreign key %s (%s) led by tenant_id', table_name, conname, columns)
         AS report,
       format('ALTER TABLE %I.%I DROP CONSTRAINT %I', $1::text, table_name, conname) AS drop_ddl,
       format('ALTER TABLE %I.%I ADD CONSTRAINT %I FOREIGN KEY (tenant_id, %s) '
              'REFERENCES %I.%I (tenant_id, %s)', $1::text, table_name, conname, columns, $1::text,
              referenced_name, referenced_columns)
       || CASE confupdtype WHEN 'c' THEN ' ON UPDATE CASCADE' WHEN 'r' THEN ' ON UPDATE RESTRICT'
          ELSE '' END
       || CASE confdeltype
          WHEN 'c' THEN ' ON DELETE CASCADE'
          WHEN 'r' THEN ' ON DELETE RESTRICT'
          WHEN 'n' THEN format(' ON DELETE SET NULL (%s)', coalesce(delete_columns, columns))
          WHEN 'd' THEN format(' ON DELETE SET DEFAULT (%s)', coalesce(delete_columns, columns))
          ELSE '' END
       || CASE WHEN condeferrable THEN ' DEFERRABLE' ELSE '' END
       || CASE WHEN condeferred THEN ' INITIALLY DEFERRED' ELSE '' END
       || CASE WHEN convalidated THEN '' ELSE ' NOT VALID' END
       || coalesce(format('; COMMENT ON CONSTRAINT %I ON %I.%I IS ', conname, $1::text, table_name)
                       || quote_literal(pg_catalog.obj_description(oid, 'pg_constraint')), '') AS add_ddl
FROM foreign_key
ORDER BY table_name, conname
