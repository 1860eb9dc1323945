-- And goes on, if it waits. $1 move
UPDATE reeve.move m
SET pauses = CASE WHEN n.waits THEN m.pauses + 1 ELSE m.pauses END,
    longest_pause_us = CASE
        WHEN n.waits THEN greatest(m.longest_pause_us, reeve.unix_us(n.at) - reeve.unix_us(m.held_at))
        ELSE m.longest_pause_us END,
    released_at = CASE WHEN n.waits THEN n.at ELSE m.released_at END
FROM (SELECT id, held_at IS NOT NULL AND released_at IS NULL, clock_timestamp() FROM reeve.move) n(id, waits, at)
WHERE m.id = $1 AND n.id = m.id
