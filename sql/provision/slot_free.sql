-- Who reads the slot is ended, and waited for for ten seconds. $1 name
SELECT pg_catalog.pg_terminate_backend(s.active_pid, 10000)
FROM pg_catalog.pg_replication_slots s WHERE s.slot_name = $1::text::name AND s.active_pid IS NOT NULL
