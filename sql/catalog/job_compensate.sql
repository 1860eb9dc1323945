UPDATE reeve.job SET state = 'compensating', error = coalesce($2::jsonb, error)
WHERE id = $1 AND state IN ('queued', 'running', 'compensating')
