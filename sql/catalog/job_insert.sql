INSERT INTO reeve.job (kind, placement_id, tenant_id, service_id, arguments)
VALUES ($1, $2, $3, $4, coalesce($5::jsonb, '{}'))
RETURNING id
