UPDATE reeve.move SET abandoned = true WHERE id = $1
