-- $1 role, $2 read-only role, $3 tenant id
INSERT INTO reeve.role_tenant (role_name, tenant_id)
SELECT role::name, $3::bigint FROM unnest(ARRAY[$1, $2]::text[]) AS u(role)
ON CONFLICT (role_name) DO UPDATE SET tenant_id = excluded.tenant_id
WHERE role_tenant.tenant_id <> excluded.tenant_id
