-- $1 placement, $2 proxy, $3 number of the hold
WITH said AS (
    INSERT INTO reeve.hold_drained (placement_id, proxy_id, hold)
    SELECT id, $2::integer, $3::bigint FROM reeve.placement WHERE id = $1
    ON CONFLICT (placement_id, proxy_id) DO UPDATE SET hold = EXCLUDED.hold
    RETURNING placement_id
)
SELECT pg_catalog.pg_notify('reeve_drained', placement_id::text) FROM said
