-- Drops a slot, if it is there; who reads it is ended first, and waited for for ten seconds. $1 name
WITH reader AS MATERIALIZED (
    SELECT s.slot_name,
           CASE WHEN s.active_pid IS NULL THEN true
           ELSE pg_catalog.pg_terminate_backend(s.active_pid, 10000) END AS ended
    FROM pg_catalog.pg_replication_slots s WHERE s.slot_name = $1::text::name
)
SELECT pg_catalog.pg_drop_replication_slot(slot_name) FROM reader
