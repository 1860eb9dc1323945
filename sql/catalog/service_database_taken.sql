-- Whether a database of a cluster is another service's, or is to be. $1 cluster, $2 database, $3 service
SELECT EXISTS (SELECT FROM reeve.service_database
               WHERE cluster_id = $1::bigint AND database = $2 AND service_id <> $3::bigint)
    OR EXISTS (SELECT FROM reeve.placement
               WHERE cluster_id = $1::bigint AND database = $2 AND service_id <> $3::bigint)
    OR EXISTS (SELECT FROM reeve.move m JOIN reeve.placement p ON p.id = m.placement_id
               WHERE m.cluster_id = $1::bigint AND m.database = $2 AND p.service_id <> $3::bigint
                 AND m.phase NOT IN ('finished', 'reverted', 'aborted'))
