SELECT t.slug, s.name, l.name, l.value
FROM reeve.resource_limit l
LEFT JOIN reeve.tenant t ON t.id = l.tenant_id
LEFT JOIN reeve.service s ON s.id = l.service_id
WHERE ($1::bigint IS NULL OR l.tenant_id = $1 OR ($3::boolean AND l.tenant_id IS NULL))
  AND ($2::bigint IS NULL OR l.service_id = $2 OR ($3::boolean AND l.service_id IS NULL))
ORDER BY t.slug NULLS FIRST, s.name NULLS FIRST, l.name
