DELETE FROM reeve.service WHERE id = $1
