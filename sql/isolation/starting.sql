-- Server processes that are in a transaction, as those are that log in: an array. To be asked before
-- isolation/still_starting.
SELECT coalesce(array_agg(DISTINCT pid), '{}')::text FROM pg_catalog.pg_locks
WHERE locktype = 'virtualxid' AND pid IS NOT NULL
