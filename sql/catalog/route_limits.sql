SELECT l.tenant_id, p.id, l.name, l.value
FROM reeve.resource_limit l
JOIN reeve.placement p ON p.tenant_id = l.tenant_id AND p.service_id = coalesce(l.service_id, p.service_id)
WHERE $1::bigint[] IS NULL OR l.tenant_id = ANY ($1)
ORDER BY l.tenant_id, p.id, l.service_id NULLS FIRST
