INSERT INTO reeve.audit_event (actor, action, tenant_id, service_id, placement_id, detail)
VALUES ($1, $2, $3, $4, $5, coalesce($6::jsonb, '{}'))
