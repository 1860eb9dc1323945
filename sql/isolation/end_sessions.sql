-- Ends the sessions of two roles, and does not wait for that. $1 role, $2 read-only role
SELECT pg_catalog.pg_terminate_backend(pid)
FROM pg_catalog.pg_stat_activity
WHERE usename = ANY (ARRAY[$1, $2]::text[]::name[]) AND pid <> pg_catalog.pg_backend_pid()
