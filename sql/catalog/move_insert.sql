-- The names of its generation were never used before, also not by a move that was given up.
-- $1 placement, $2 offline, $3 cluster, $4 isolation, $5 enforcement, $6 database, $7 schema, $8 role,
-- $9 its password, $10 read-only role, $11 its password, $12 and $13 the roles to enter, $14 generation
INSERT INTO reeve.move (placement_id, offline, from_isolation, from_cluster, to_isolation, to_cluster,
                        cluster_id, isolation, enforcement, database, schema, role, role_password,
                        ro_role, ro_password, enter_role, enter_ro_role, generation)
SELECT p.id, $2::boolean, p.isolation, f.name, $4::reeve.isolation, t.name,
       t.id, $4::reeve.isolation, $5, $6, $7, $8, $9::bytea, $10, $11::bytea, $12, $13, $14::bigint
FROM reeve.placement p
JOIN reeve.cluster f ON f.id = p.cluster_id
JOIN reeve.cluster t ON t.id = $3::bigint
WHERE p.id = $1::bigint
RETURNING id
