-- $1 placement, $2 microseconds, $3 microseconds after which what still runs is ended, or null
UPDATE reeve.placement
SET held_until = clock_timestamp() + $2::bigint * interval '1 microsecond', hold = hold + 1,
    hold_ends_at = clock_timestamp() + $3::bigint * interval '1 microsecond'
WHERE id = $1 AND state IN ('ready', 'migrating')
