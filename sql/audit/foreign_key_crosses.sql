-- Foreign keys that lead from one tenant's rows to another's: checks and cascades are not subject to
-- row-level security.
-- $1 relations of the targets, $2 tables that row-level security keeps apart, $3 other tables in
-- shape
WITH foreign_key AS (
    SELECT k.conname, k.conkey, k.confkey, c.oid, c.relname, n.nspname, f.oid AS referenced,
           f.relname AS referenced_name, fn.nspname AS referenced_schema,
           a.attnum AS tenant, fa.attnum AS referenced_tenant
    FROM pg_catalog.pg_constraint k
    JOIN pg_catalog.pg_class c ON c.oid = k.conrelid
    JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
    JOIN pg_catalog.pg_class f ON f.oid = k.confrelid
    JOIN pg_catalog.pg_namespace fn ON fn.oid = f.relnamespace
    LEFT JOIN pg_catalog.pg_attribute a
      ON a.attrelid = c.oid AND a.attname = 'tenant_id' AND NOT a.attisdropped
    LEFT JOIN pg_catalog.pg_attribute fa
      ON fa.attrelid = f.oid AND fa.attname = 'tenant_id' AND NOT fa.attisdropped
    WHERE k.conrelid = ANY ($1::oid[]) AND k.contype = 'f'
)
SELECT format('foreign key %I of %I.%I', conname, nspname, relname) AS object,
       CASE WHEN nspname <> referenced_schema
            THEN format('references %I.%I, in another schema', referenced_schema, referenced_name)
            ELSE format('references "%s" without "tenant_id": one tenant''s row may hold on to '
                        'another''s', referenced_name) END AS message,
       format('ALTER TABLE %I.%I DROP CONSTRAINT %I; then add it with tenant_id first on both sides',
              nspname, relname, conname) AS remedy,
       nspname AS subject,
       CASE WHEN referenced = ANY ($2::oid[])
              OR nspname <> referenced_schema AND referenced_schema ~ '^(t_[0-9]{6,}(_[0-9]+)?|app)$'
            THEN NULL ELSE 'warning' END AS severity
FROM foreign_key
WHERE nspname <> referenced_schema
   OR referenced = ANY ($2::oid[] || $3::oid[])
      AND NOT EXISTS (SELECT FROM unnest(conkey, confkey) AS pair(referencing, referenced)
                      WHERE pair.referencing = foreign_key.tenant
                        AND pair.referenced = foreign_key.referenced_tenant)
ORDER BY 1
