INSERT INTO reeve.migration (target, version, name, checksum) VALUES ($1::text::name, $2, $3, $4)
