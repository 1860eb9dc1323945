-- And goes on. $1 move
UPDATE reeve.move
SET pauses = pauses + (held_at IS NOT NULL AND released_at IS NULL)::integer,
    longest_pause_us = CASE
        WHEN released_at IS NULL
        THEN greatest(longest_pause_us, reeve.unix_us(clock_timestamp()) - reeve.unix_us(held_at))
        ELSE longest_pause_us END,
    released_at = coalesce(released_at, clock_timestamp())
WHERE id = $1
