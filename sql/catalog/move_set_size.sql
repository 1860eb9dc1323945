-- Nothing of them is copied yet. $1 move, $2 tables
UPDATE reeve.move SET tables = $2::integer, bytes_done = 0, rows_done = 0 WHERE id = $1
