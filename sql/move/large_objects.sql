-- Large objects that belong to one of the roles: how many.
-- $1 role, $2 read-only role
SELECT count(*)
FROM pg_catalog.pg_largeobject_metadata
WHERE lomowner IN (SELECT oid FROM pg_catalog.pg_roles WHERE rolname = ANY (ARRAY[$1, $2]::text[]::name[]))
