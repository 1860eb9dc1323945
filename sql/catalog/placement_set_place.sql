UPDATE reeve.placement
SET cluster_id = $2, isolation = $3, database = $4, schema = $5,
    role = $6, role_password = $7, ro_role = $8, ro_password = $9,
    enforcement = coalesce($10::text, 'login'), enter_role = $11, enter_ro_role = $12,
    generation = coalesce($13::bigint, generation)
WHERE id = $1
