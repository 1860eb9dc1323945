UPDATE reeve.move SET stop_wanted = true WHERE id = $1
