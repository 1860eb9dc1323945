-- Held as long as the session: who has it can be reached. $1 the proxy
SELECT pg_catalog.pg_advisory_lock(1919247478, $1::integer)
