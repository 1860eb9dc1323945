-- Something that a commit must wait for the disk with, and that nobody reads.
SELECT pg_catalog.pg_logical_emit_message(true, 'reeve', '')
