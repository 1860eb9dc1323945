-- Materialized views that a migration has filled: statements that fill them again, those that others
-- read first.
-- $1 schema
WITH RECURSIVE view AS (
    SELECT c.oid, c.relname
    FROM pg_catalog.pg_class c
    JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
    WHERE n.nspname = $1::text AND c.relkind = 'm' AND c.relispopulated
), reads AS (
    SELECT DISTINCT w.ev_class AS reader, d.refobjid AS what
    FROM pg_catalog.pg_rewrite w
    JOIN pg_catalog.pg_depend d
      ON d.classid = 'pg_catalog.pg_rewrite'::pg_catalog.regclass AND d.objid = w.oid
     AND d.refclassid = 'pg_catalog.pg_class'::pg_catalog.regclass AND d.refobjid <> w.ev_class
), depth AS (
    SELECT v.oid, v.oid AS at, 0 AS level FROM view v
    UNION
    SELECT d.oid, r.what, d.level + 1 FROM depth d JOIN reads r ON r.reader = d.at WHERE d.level < 100
)
SELECT format('REFRESH MATERIALIZED VIEW %I.%I', $1::text, v.relname) AS ddl
FROM view v
ORDER BY (SELECT max(d.level) FROM depth d WHERE d.oid = v.oid), v.relname
