UPDATE reeve.placement
SET held_until = clock_timestamp() + $2::bigint * interval '1 microsecond', hold = hold + 1
WHERE id = $1 AND state IN ('ready', 'migrating')
