-- Statements that drop the fences of a database (isolation/fence.c): they are called after its oid. $1 database
SELECT pg_catalog.format('DROP ROLE IF EXISTS %I', r.rolname)
FROM pg_catalog.pg_database d
JOIN pg_catalog.pg_roles r ON r.rolname ~ ('^reeve_fence_' || d.oid || '_[0-9]+$')
WHERE d.datname = $1::text::name
