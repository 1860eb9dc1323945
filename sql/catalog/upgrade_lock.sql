SELECT pg_catalog.pg_advisory_xact_lock(pg_catalog.hashtextextended('reeve catalog upgrade', 0))
