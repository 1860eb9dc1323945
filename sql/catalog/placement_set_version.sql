UPDATE reeve.placement SET schema_version = $2 WHERE id = $1
