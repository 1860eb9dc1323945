SELECT version, name, checksum FROM reeve.migration WHERE target = $1::text::name
