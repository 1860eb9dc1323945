-- The statement that empties the tables of a schema that is one tenant's alone; no row when there are
-- none. Partitioned tables stand with their partitions, as foreign keys are theirs.
-- $1 schema
SELECT 'TRUNCATE ' || string_agg(format('%I.%I', n.nspname, c.relname), ', ' ORDER BY c.relname) AS ddl
FROM pg_catalog.pg_class c
JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
WHERE n.nspname = $1::text AND c.relkind IN ('r', 'p')
  AND coalesce(pg_catalog.obj_description(c.oid, 'pg_class'), '') !~ '^@reeve:shared'
HAVING count(*) > 0
