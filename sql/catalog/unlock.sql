SELECT pg_catalog.pg_advisory_unlock(pg_catalog.hashtextextended('reeve:' || $1, 0))
