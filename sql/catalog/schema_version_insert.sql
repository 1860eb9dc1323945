INSERT INTO reeve.schema_version (version, program) VALUES ($1, $2)
