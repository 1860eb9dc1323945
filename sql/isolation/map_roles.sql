-- $1 role, $2 read-only role, $3 tenant id, $4 tenant slug
INSERT INTO reeve.role_tenant (role_name, tenant_id, tenant_slug)
SELECT role::name, $3::bigint, $4 FROM unnest(ARRAY[$1, $2]::text[]) AS u(role)
ON CONFLICT (role_name) DO UPDATE
SET tenant_id = excluded.tenant_id, tenant_slug = excluded.tenant_slug
WHERE (role_tenant.tenant_id, role_tenant.tenant_slug)
      IS DISTINCT FROM (excluded.tenant_id, excluded.tenant_slug)
