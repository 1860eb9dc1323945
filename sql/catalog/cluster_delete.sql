DELETE FROM reeve.cluster WHERE id = $1
