-- The tenant begins to wait. $1 move
UPDATE reeve.move SET held_at = clock_timestamp(), released_at = NULL WHERE id = $1
