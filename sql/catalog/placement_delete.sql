DELETE FROM reeve.placement WHERE id = $1
