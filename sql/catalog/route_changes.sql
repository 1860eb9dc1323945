SELECT DISTINCT coalesce(tenant_id, 0) FROM reeve.route_change
WHERE version > $1
ORDER BY 1
LIMIT $2
