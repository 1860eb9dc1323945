SELECT p.tenant_id, p.id, p.service_id, p.cluster_id, p.epoch,
       p.state IN ('ready', 'migrating'), s.name, coalesce(p.database, ''),
       coalesce(p.role, ''), p.role_password, coalesce(p.ro_role, ''), p.ro_password,
       p.enforcement = 'guard', p.enter_role <> p.role, coalesce(p.enter_role, ''),
       coalesce(p.enter_ro_role, ''), quote_ident(p.schema) || ', public',
       coalesce(reeve.unix_us(p.held_until) - reeve.unix_us(clock_timestamp()), 0),
       NOT EXISTS (SELECT FROM reeve.service_database d
                   WHERE d.cluster_id = p.cluster_id AND d.database = p.database),
       p.hold
FROM reeve.placement p
JOIN reeve.service s ON s.id = p.service_id
WHERE $1::bigint[] IS NULL OR p.tenant_id = ANY ($1)
ORDER BY p.tenant_id, p.id
