UPDATE reeve.service_database SET schema_version = $2 WHERE id = $1
