DELETE FROM reeve.tenant_tag WHERE tenant_id = $1::bigint AND name = $2
