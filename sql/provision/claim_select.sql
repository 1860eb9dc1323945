-- Whose the server is: no row when it is nobody's.
SELECT coalesce(pg_catalog.shobj_description(oid, 'pg_authid'), '')
FROM pg_catalog.pg_roles
WHERE rolname = 'reeve_claim'
