-- $1 what is locked
SELECT pg_catalog.pg_advisory_lock(pg_catalog.hashtextextended('reeve ' || $1::text, 0))
