DELETE FROM reeve.move_progress WHERE move_id = $1::bigint
