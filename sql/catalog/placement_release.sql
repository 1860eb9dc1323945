UPDATE reeve.placement SET held_until = NULL WHERE id = $1
