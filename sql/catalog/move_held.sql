-- The tenant begins to wait. A way back counts its own pauses, from its first one on. $1 move
UPDATE reeve.move
SET pauses = CASE WHEN phase = 'reverting' AND released_at < phase_at THEN 0 ELSE pauses END,
    longest_pause_us = CASE WHEN phase = 'reverting' AND released_at < phase_at THEN 0 ELSE longest_pause_us END,
    held_at = clock_timestamp(), released_at = NULL
WHERE id = $1
