-- A slot keeps nothing of what was before. $1 name
SELECT pg_catalog.pg_replication_slot_advance(slot_name, pg_catalog.pg_current_wal_flush_lsn())
FROM pg_catalog.pg_replication_slots
WHERE slot_name = $1::text::name AND confirmed_flush_lsn < pg_catalog.pg_current_wal_flush_lsn()
