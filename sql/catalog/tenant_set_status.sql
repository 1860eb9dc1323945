UPDATE reeve.tenant SET status = $2 WHERE id = $1
