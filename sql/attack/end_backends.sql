-- Ends the server connections of a role and waits for them to be gone. $1 role
SELECT pg_catalog.pg_terminate_backend(pid, 10000)
FROM pg_catalog.pg_stat_activity
WHERE usename = $1::text AND pid <> pg_catalog.pg_backend_pid()
