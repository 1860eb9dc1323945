SELECT service_id, name, value FROM reeve.resource_limit WHERE tenant_id IS NULL
