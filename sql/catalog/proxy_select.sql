-- Proxies: (id, name, connected). $1 placements, or null: those that have not drained the last hold of
-- each of these
SELECT x.id, x.name,
       EXISTS (SELECT FROM pg_catalog.pg_locks l
               WHERE l.locktype = 'advisory' AND l.classid = 1919247478 AND l.objsubid = 2
                 AND l.objid = x.id::oid AND l.granted
                 AND l.database = (SELECT oid FROM pg_catalog.pg_database
                                   WHERE datname = current_database()))
FROM reeve.proxy x
WHERE $1::bigint[] IS NULL
   OR EXISTS (SELECT FROM reeve.placement p
              WHERE p.id = ANY ($1::bigint[])
                AND NOT EXISTS (SELECT FROM reeve.hold_drained d
                                WHERE d.placement_id = p.id AND d.proxy_id = x.id
                                  AND d.hold >= p.hold))
ORDER BY x.id
