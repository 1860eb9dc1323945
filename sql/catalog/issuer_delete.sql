DELETE FROM reeve.issuer WHERE id = $1
