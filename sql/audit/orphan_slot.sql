-- $1 streams of all open moves
SELECT format('replication slot %I', slot_name) AS object,
       'is named as a move''s, but no such move is open: the server keeps WAL for it without end' AS message,
       format('SELECT pg_drop_replication_slot(%L)', slot_name) AS remedy,
       slot_name AS subject, NULL AS severity
FROM pg_catalog.pg_replication_slots
WHERE slot_name ~ '^reeve_(move|back)_[0-9]+$' AND slot_name <> ALL ($1::text[]::name[])
ORDER BY 1
