SELECT id, kind, coalesce(placement_id, 0), coalesce(tenant_id, 0), coalesce(service_id, 0),
       arguments, state, step, progress, error, attempts,
       reeve.unix_us(created_at), reeve.unix_us(started_at), reeve.unix_us(finished_at),
       EXISTS (SELECT FROM reeve.move m WHERE m.placement_id = job.placement_id AND m.ended_at IS NULL
               AND m.held_at IS NOT NULL AND m.released_at IS NULL)
FROM reeve.job
WHERE ($1::bigint IS NULL OR id = $1)
  AND (NOT $2::boolean OR state IN ('queued', 'running', 'compensating'))
  AND ($3::bigint IS NULL OR placement_id = $3)
  AND ($4::bigint IS NULL OR tenant_id = $4)
  AND ($5::bigint IS NULL OR service_id = $5)
ORDER BY CASE WHEN $2::boolean THEN id ELSE -id END
LIMIT $6
