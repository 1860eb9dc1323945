INSERT INTO reeve.tenant_tag (tenant_id, name, value) VALUES ($1::bigint, $2, $3)
ON CONFLICT (tenant_id, name) DO UPDATE SET value = excluded.value
