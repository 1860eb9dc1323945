-- When it is over there is no other place, and no password of its roles.
-- $1 move, $2 phase, $3 an error, or null: the one there is
UPDATE reeve.move m
SET phase = $2,
    phase_at = CASE WHEN m.phase = $2 THEN m.phase_at ELSE clock_timestamp() END,
    lag_bytes = CASE WHEN m.phase = $2 THEN m.lag_bytes END,
    error = CASE WHEN $2 IN ('finished', 'reverted') THEN $3 ELSE coalesce($3, m.error) END,
    stop_wanted = m.stop_wanted AND $2 NOT IN ('moved', 'reverting'),
    abandoned = m.abandoned AND $2 <> 'moved',
    ended_at = CASE WHEN o.over THEN clock_timestamp() END,
    cluster_id = CASE WHEN NOT o.over THEN m.cluster_id END,
    role_password = CASE WHEN NOT o.over THEN m.role_password END,
    ro_password = CASE WHEN NOT o.over THEN m.ro_password END
FROM (SELECT $2 IN ('finished', 'reverted', 'aborted') AS over) o
WHERE m.id = $1
