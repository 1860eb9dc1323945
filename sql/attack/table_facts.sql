-- What else attacks name of one table: (a sequence behind its columns, a unique constraint).
-- $1 schema, $2 table
SELECT (SELECT s.relname
        FROM pg_catalog.pg_depend d
        JOIN pg_catalog.pg_class s ON s.oid = d.objid AND s.relkind = 'S'
        WHERE d.refobjid = c.oid AND d.deptype IN ('a', 'i')
          AND d.classid = 'pg_catalog.pg_class'::pg_catalog.regclass
        ORDER BY s.relname LIMIT 1),
       (SELECT k.conname FROM pg_catalog.pg_constraint k
        WHERE k.conrelid = c.oid AND k.contype IN ('u', 'p') AND NOT k.condeferrable
        ORDER BY k.contype DESC, k.conname LIMIT 1)
FROM pg_catalog.pg_class c
JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
WHERE n.nspname = $1::text AND c.relname = $2::text
