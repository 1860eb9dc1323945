INSERT INTO reeve.resource_limit (tenant_id, service_id, name, value)
VALUES ($1::bigint, $2::bigint, $3, $4::bigint)
ON CONFLICT (coalesce(tenant_id, 0), coalesce(service_id, 0), name)
DO UPDATE SET value = excluded.value
RETURNING id
