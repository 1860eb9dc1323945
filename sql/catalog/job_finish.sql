UPDATE reeve.job SET state = $2, error = coalesce($3::jsonb, error), finished_at = now()
WHERE id = $1 AND state IN ('queued', 'running', 'compensating')
