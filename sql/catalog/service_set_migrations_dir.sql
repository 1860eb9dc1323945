UPDATE reeve.service SET migrations_dir = $2 WHERE id = $1
