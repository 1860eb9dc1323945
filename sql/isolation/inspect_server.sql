-- What a server has of a placement, whatever its mode: (line).
-- $1 role, $2 read-only role, $3 database of its own
SELECT 'role ' || rolname AS line FROM pg_catalog.pg_roles
WHERE rolname = ANY (ARRAY[$1, $2]::text[]::name[])
UNION ALL
SELECT 'database ' || datname FROM pg_catalog.pg_database WHERE datname = $3::text::name
ORDER BY 1
