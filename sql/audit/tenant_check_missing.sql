-- A tenant's own tables that would take another tenant's rows.
-- $1 targets, $2 tables in shape that are one tenant's own
SELECT format('%I.%I', n.nspname, c.relname) AS object,
       CASE WHEN k.oid IS NULL THEN 'has no check that "tenant_id" is this tenant''s'
            ELSE 'the check of "tenant_id" is not as Reeve makes it: '
                 || pg_catalog.pg_get_constraintdef(k.oid) END AS message,
       'run the service''s next migration: it sets the check' AS remedy,
       n.nspname AS subject, NULL AS severity
FROM jsonb_to_recordset($1::jsonb) AS t(schema text, tenant bigint)
JOIN pg_catalog.pg_namespace n ON n.nspname = t.schema::name
JOIN pg_catalog.pg_class c ON c.relnamespace = n.oid AND c.oid = ANY ($2::oid[])
LEFT JOIN pg_catalog.pg_constraint k
  ON k.conrelid = c.oid AND k.conname = 'reeve_tenant_check' AND k.contype = 'c'
WHERE t.tenant <> 0
  AND coalesce(pg_catalog.pg_get_constraintdef(k.oid), '')
      <> format('CHECK ((tenant_id = ''%s''::bigint))', t.tenant)
ORDER BY 1
