-- Whether a transaction goes on that began before a time, or a session is there of which the server
-- does not tell; waits a hundredth of a second first.
-- $1 database, $2 role that logs in, $3 the time
SELECT EXISTS (SELECT FROM pg_catalog.pg_stat_activity
               WHERE datname = $1::text::name AND usename = $2::text::name
                 AND (xact_start < $3::timestamptz OR state IS NULL OR state = 'disabled'))
FROM (SELECT pg_catalog.pg_sleep(0.01)) AS waited
