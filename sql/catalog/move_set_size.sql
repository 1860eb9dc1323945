-- $1 move, $2 tables, $3 bytes
UPDATE reeve.move SET tables = $2::integer, bytes_total = $3::bigint, bytes_done = 0, rows_done = 0 WHERE id = $1
