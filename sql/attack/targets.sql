-- What may be attacked, and how many placements are in it: (service id, service, isolation, cluster
-- id, cluster, placements, enforcement or NULL where there are none, shared database or NULL). $1 service
-- or NULL for all
SELECT s.id, s.name, mode.isolation, c.id, c.name, count(p.id), p.enforcement, d.database
FROM reeve.service s
CROSS JOIN LATERAL unnest(s.allowed) AS mode(isolation)
JOIN reeve.cluster c
  ON c.id = s.cluster_id
  OR EXISTS (SELECT FROM reeve.placement o WHERE o.service_id = s.id AND o.cluster_id = c.id)
LEFT JOIN reeve.placement p
  ON p.service_id = s.id AND p.cluster_id = c.id AND p.isolation = mode.isolation
 AND p.state IN ('ready', 'migrating')
LEFT JOIN reeve.service_database d
  ON d.service_id = s.id AND d.cluster_id = c.id AND d.kind = 'shared' AND d.database = p.database
WHERE $1::text IS NULL OR s.name = $1::text
GROUP BY s.id, s.name, mode.isolation, c.id, c.name, p.enforcement, d.database,
         array_position(s.allowed, mode.isolation)
ORDER BY s.name, c.name, array_position(s.allowed, mode.isolation), p.enforcement, d.database
