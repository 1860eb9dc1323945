SELECT id, reeve.unix_us(at), actor, action, coalesce(tenant_id, 0), coalesce(service_id, 0),
       coalesce(placement_id, 0), detail
FROM reeve.audit_event
WHERE ($1::bigint IS NULL OR tenant_id = $1) AND ($2::bigint IS NULL OR id < $2)
ORDER BY id DESC
LIMIT $3
