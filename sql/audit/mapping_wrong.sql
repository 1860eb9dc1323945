-- Who Reeve's function says that a role is, against the catalog.
-- $1 roles of placements in this database, $2 their tenants' ids
SELECT format('role_tenant of %I', w.role) AS object,
       CASE WHEN m.tenant_id IS NULL THEN format('says nothing: tenant %s sees no rows', w.tenant)
            ELSE format('says tenant %s, where the catalog says %s: it reaches another''s rows',
                        m.tenant_id, w.tenant) END AS message,
       format('INSERT INTO reeve.role_tenant VALUES (%L, %s) ON CONFLICT (role_name) DO UPDATE SET '
              'tenant_id = excluded.tenant_id', w.role, w.tenant) AS remedy,
       w.role AS subject, CASE WHEN m.tenant_id IS NULL THEN 'warning' END AS severity
FROM unnest($1::text[], $2::bigint[]) AS w(role, tenant)
LEFT JOIN reeve.role_tenant m ON m.role_name = w.role::name
WHERE m.tenant_id IS DISTINCT FROM w.tenant
ORDER BY 1
