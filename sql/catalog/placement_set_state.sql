UPDATE reeve.placement SET state = $2 WHERE id = $1
