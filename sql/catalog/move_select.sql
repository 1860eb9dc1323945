-- Moves; first the columns of placement_select, of the move's other place.
-- $1 move, $2 placement, $3 only those that are open, $4 tenant, $5 cluster of the other place
SELECT p.id, p.tenant_id, p.service_id, coalesce(m.cluster_id, 0), t.slug, s.name, coalesce(c.name, ''),
       m.isolation, m.database, m.schema, m.role, coalesce(m.ro_role, ''), m.role_password, m.ro_password,
       p.schema_version, p.epoch, p.state, reeve.unix_us(p.created_at),
       m.enforcement, coalesce(m.enter_role, ''), coalesce(m.enter_ro_role, ''),
       CASE WHEN p.held_until > now() THEN reeve.unix_us(p.held_until) ELSE 0 END,
       m.generation,
       m.id, m.phase, m.offline, m.flipped, m.stop_wanted, m.from_isolation, m.from_cluster,
       m.to_isolation, m.to_cluster, m.tables, m.bytes_total, m.bytes_done, m.rows_done,
       m.longest_pause_us,
       reeve.unix_us(m.started_at), coalesce(reeve.unix_us(m.ended_at), 0), coalesce(m.error, ''),
       CASE WHEN m.released_at IS NULL THEN coalesce(reeve.unix_us(m.held_at), 0) ELSE 0 END,
       m.wal_limit, m.keep_us, coalesce(m.lag_bytes, -1), m.rows_total, reeve.unix_us(m.phase_at),
       coalesce(m.version, ''), m.abandoned,
       coalesce(m.from_database, ''), coalesce(m.to_database, ''), m.pauses
FROM reeve.move m
JOIN reeve.placement p ON p.id = m.placement_id
JOIN reeve.tenant t ON t.id = p.tenant_id
JOIN reeve.service s ON s.id = p.service_id
LEFT JOIN reeve.cluster c ON c.id = m.cluster_id
WHERE ($1::bigint IS NULL OR m.id = $1)
  AND ($2::bigint IS NULL OR m.placement_id = $2)
  AND (NOT $3::boolean OR m.phase NOT IN ('finished', 'reverted', 'aborted'))
  AND ($4::bigint IS NULL OR p.tenant_id = $4)
  AND ($5::bigint IS NULL OR m.cluster_id = $5)
ORDER BY m.id
