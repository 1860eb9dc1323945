SELECT p.id, p.tenant_id, p.service_id, p.cluster_id, t.slug, s.name, c.name,
       p.isolation, coalesce(p.database, ''), coalesce(p.schema, ''),
       coalesce(p.role, ''), coalesce(p.ro_role, ''), p.role_password, p.ro_password,
       p.schema_version, p.epoch, p.state, reeve.unix_us(p.created_at),
       p.enforcement, coalesce(p.enter_role, ''), coalesce(p.enter_ro_role, ''),
       CASE WHEN p.held_until > now() THEN reeve.unix_us(p.held_until) ELSE 0 END,
       p.generation
FROM reeve.placement p
JOIN reeve.tenant t ON t.id = p.tenant_id
JOIN reeve.service s ON s.id = p.service_id
JOIN reeve.cluster c ON c.id = p.cluster_id
WHERE ($1::bigint IS NULL OR p.id = $1)
  AND ($2::bigint IS NULL OR p.tenant_id = $2)
  AND ($3::bigint IS NULL OR p.service_id = $3)
  AND ($4::bigint IS NULL OR p.cluster_id = $4)
  AND ($5::text IS NULL OR p.state = $5)
  AND ($6::bigint IS NULL OR p.id > $6)
ORDER BY p.id
LIMIT $7
