-- Tables of a schema that refer to another by one number: (child, child's column, parent, parent's
-- column). $1 schema
SELECT c.relname, own.attname, p.relname, other.attname
FROM pg_catalog.pg_constraint f
JOIN pg_catalog.pg_class c ON c.oid = f.conrelid
JOIN pg_catalog.pg_class p ON p.oid = f.confrelid AND p.oid <> c.oid
JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace AND n.oid = p.relnamespace
CROSS JOIN LATERAL unnest(f.conkey, f.confkey) AS pair(own, other)
JOIN pg_catalog.pg_attribute own ON own.attrelid = c.oid AND own.attnum = pair.own
JOIN pg_catalog.pg_attribute other ON other.attrelid = p.oid AND other.attnum = pair.other
WHERE n.nspname = $1::text AND f.contype = 'f' AND NOT f.condeferrable
  AND own.attname <> 'tenant_id'
  AND other.atttypid IN ('pg_catalog.int4'::pg_catalog.regtype, 'pg_catalog.int8'::pg_catalog.regtype)
  AND (SELECT count(*) FROM pg_catalog.pg_attribute a
       WHERE a.attrelid = c.oid AND a.attnum = ANY (f.conkey) AND a.attname <> 'tenant_id') = 1
ORDER BY c.relname, f.conname
