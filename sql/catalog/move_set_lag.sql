-- $1 move, $2 bytes
UPDATE reeve.move SET lag_bytes = $2::bigint WHERE id = $1
