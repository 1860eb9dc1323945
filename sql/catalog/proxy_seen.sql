UPDATE reeve.proxy SET seen_at = now() WHERE id = $1
