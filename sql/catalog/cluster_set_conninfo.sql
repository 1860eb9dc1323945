UPDATE reeve.cluster SET conninfo = $2 WHERE id = $1
