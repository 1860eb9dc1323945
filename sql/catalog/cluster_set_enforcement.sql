UPDATE reeve.cluster
SET enforcement = $2, enforcement_reason = $3, guard_library = $4, pool_role = $5,
    pool_password = $6
WHERE id = $1
