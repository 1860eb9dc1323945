-- And goes on. $1 move
UPDATE reeve.move SET released_at = coalesce(released_at, clock_timestamp()) WHERE id = $1
