DELETE FROM reeve.proxy WHERE id = $1
