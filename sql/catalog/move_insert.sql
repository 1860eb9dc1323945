-- The names of its generation were never used before, also not by a move that was given up.
-- $1 placement, $2 offline, $3 cluster, $4 isolation, $5 enforcement, $6 database, $7 schema, $8 role,
-- $9 its password, $10 read-only role, $11 its password, $12 and $13 the roles to enter, $14 generation,
-- $15 bytes of WAL, $16 microseconds that the old place is kept, $17 tables, $18 bytes, $19 rows
INSERT INTO reeve.move (placement_id, offline, from_isolation, from_cluster, to_isolation, to_cluster,
                        cluster_id, isolation, enforcement, database, schema, role, role_password,
                        ro_role, ro_password, enter_role, enter_ro_role, generation,
                        wal_limit, keep_us, tables, bytes_total, rows_total,
                        from_database, to_database)
SELECT p.id, $2::boolean, p.isolation, f.name, $4::reeve.isolation, t.name,
       t.id, $4::reeve.isolation, $5, $6::text, $7, $8, $9::bytea, $10, $11::bytea, $12, $13, $14::bigint,
       $15::bigint, $16::bigint, $17::integer, $18::bigint, $19::bigint,
       p.database, $6::text
FROM reeve.placement p
JOIN reeve.cluster f ON f.id = p.cluster_id
JOIN reeve.cluster t ON t.id = $3::bigint
WHERE p.id = $1::bigint
RETURNING id
