-- Proxies: (id, name, connected). $1 placements, or null: those that have not drained the last hold of
-- each of these
SELECT x.id, x.name, reeve.proxy_connected(x.id)
FROM reeve.proxy x
WHERE $1::bigint[] IS NULL
   OR EXISTS (SELECT FROM reeve.placement p
              WHERE p.id = ANY ($1::bigint[])
                AND NOT EXISTS (SELECT FROM reeve.hold_drained d
                                WHERE d.placement_id = p.id AND d.proxy_id = x.id
                                  AND d.hold >= p.hold))
ORDER BY x.id
