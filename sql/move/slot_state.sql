-- (bytes of WAL that a slot keeps, bytes that it is behind, its state). $1 name
SELECT pg_catalog.pg_wal_lsn_diff(pg_catalog.pg_current_wal_lsn(), restart_lsn)::bigint,
       pg_catalog.pg_wal_lsn_diff(pg_catalog.pg_current_wal_lsn(), confirmed_flush_lsn)::bigint,
       coalesce(wal_status, '')
FROM pg_catalog.pg_replication_slots
WHERE slot_name = $1::text::name
