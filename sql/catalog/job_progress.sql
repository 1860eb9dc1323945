UPDATE reeve.job SET step = coalesce($2, step), progress = coalesce($3::jsonb, progress)
WHERE id = $1 AND state IN ('queued', 'running', 'compensating')
