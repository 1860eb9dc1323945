UPDATE reeve.job
SET state = CASE state WHEN 'queued' THEN 'running' ELSE state END,
    attempts = attempts + 1, started_at = coalesce(started_at, now())
WHERE id = $1 AND state IN ('queued', 'running', 'compensating')
