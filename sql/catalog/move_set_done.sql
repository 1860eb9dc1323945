-- $1 move, $2 bytes, $3 rows
UPDATE reeve.move SET bytes_done = $2::bigint, rows_done = $3::bigint WHERE id = $1
RETURNING stop_wanted
