-- For each table that row-level security keeps apart, the statement that finds rows of tenants who
-- have no placement there: by the index that the tenant column leads, one step a tenant.
-- $1 tables, $2 ids of the tenants who have
SELECT format(
    $query$
    WITH RECURSIVE found AS (
        (SELECT tenant_id FROM %1$I.%2$I ORDER BY tenant_id LIMIT 1)
        UNION ALL
        SELECT (SELECT t.tenant_id FROM %1$I.%2$I t WHERE t.tenant_id > found.tenant_id
                ORDER BY t.tenant_id LIMIT 1)
        FROM found WHERE found.tenant_id IS NOT NULL
    )
    SELECT format('%%I.%%I', %3$L, %4$L) AS object,
           format('has rows of tenant %%s, who has no placement there', tenant_id) AS message,
           format('make sure that nobody needs them, then DELETE FROM %%I.%%I WHERE tenant_id = %%s',
                  %3$L, %4$L, tenant_id) AS remedy,
           tenant_id::text AS subject, NULL AS severity
    FROM found
    WHERE tenant_id <> ALL (%5$L::bigint[])
    ORDER BY tenant_id
    $query$, n.nspname, c.relname, n.nspname, c.relname, $2::bigint[]) AS query
FROM pg_catalog.pg_class c
JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
JOIN pg_catalog.pg_attribute a
  ON a.attrelid = c.oid AND a.attname = 'tenant_id' AND NOT a.attisdropped
 AND a.atttypid = 'pg_catalog.int8'::pg_catalog.regtype
WHERE c.oid = ANY ($1::oid[])
ORDER BY c.relname
