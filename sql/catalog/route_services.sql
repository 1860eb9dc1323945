SELECT id, name FROM reeve.service ORDER BY id
