INSERT INTO reeve.tenant (slug, name) VALUES ($1, $2) RETURNING id
