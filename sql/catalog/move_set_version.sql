-- $1 move, $2 version
UPDATE reeve.move SET version = $2 WHERE id = $1
