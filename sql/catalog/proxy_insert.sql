INSERT INTO reeve.proxy (name) VALUES ($1) RETURNING id
