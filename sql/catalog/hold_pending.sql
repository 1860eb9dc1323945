-- Holds that a proxy has not drained yet: (placement, tenant, number, the version of routes that has
-- them, microseconds until what runs is to be ended, or -1). $1 the proxy
SELECT p.id, p.tenant_id, p.hold, (SELECT version FROM reeve.route_version),
       CASE WHEN p.hold_ends_at IS NULL THEN -1
       ELSE greatest(0, extract(epoch FROM p.hold_ends_at - clock_timestamp()) * 1000000)::bigint END
FROM reeve.placement p
WHERE p.held_until > clock_timestamp()
  AND NOT EXISTS (SELECT FROM reeve.hold_drained d
                  WHERE d.placement_id = p.id AND d.proxy_id = $1::integer AND d.hold >= p.hold)
ORDER BY p.id
