-- The placement is at its other place, and its present one becomes the other; unless somebody wants the
-- move to be given up. $1 move
WITH other AS (
    SELECT * FROM reeve.move WHERE id = $1::bigint AND NOT stop_wanted FOR UPDATE
), here AS (
    SELECT p.* FROM reeve.placement p JOIN other ON other.placement_id = p.id FOR UPDATE OF p
), placed AS (
    UPDATE reeve.placement p
    SET cluster_id = other.cluster_id, isolation = other.isolation, database = other.database,
        schema = other.schema, role = other.role, role_password = other.role_password,
        ro_role = other.ro_role, ro_password = other.ro_password, enforcement = other.enforcement,
        enter_role = other.enter_role, enter_ro_role = other.enter_ro_role, generation = other.generation
    FROM other
    WHERE p.id = other.placement_id
)
UPDATE reeve.move m
SET cluster_id = here.cluster_id, isolation = here.isolation, database = here.database,
    schema = here.schema, role = here.role, role_password = here.role_password,
    ro_role = here.ro_role, ro_password = here.ro_password, enforcement = here.enforcement,
    enter_role = here.enter_role, enter_ro_role = here.enter_ro_role, generation = here.generation,
    flipped = NOT m.flipped, abandoned = false
FROM here
WHERE m.id = $1::bigint
