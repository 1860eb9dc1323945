-- What stands in the targets' schemas, as arrays of oids, so that the checks look things up by index:
-- (relations, rows, own, shared, routines). `rows` are tenants' tables that only row-level security
-- keeps apart, `own` tenants' tables of other targets that are shaped, `shared` reference tables.
-- By dependencies on the schema, which have an index; pg_class has none by schema, and a thousand
-- tenants' tables are many to pass over.
-- $1 targets
WITH target AS (
    SELECT n.oid, t.shaped, t.row_security
    FROM jsonb_to_recordset($1::jsonb) AS t(schema text, shaped boolean, row_security boolean)
    JOIN pg_catalog.pg_namespace n ON n.nspname = t.schema::name
), member AS MATERIALIZED (
    SELECT d.classid, d.objid, t.shaped, t.row_security
    FROM target t
    JOIN pg_catalog.pg_depend d
      ON d.refclassid = 'pg_catalog.pg_namespace'::pg_catalog.regclass AND d.refobjid = t.oid
), relation AS MATERIALIZED (
    SELECT c.oid, m.shaped, m.row_security, c.relkind = 'r' AS is_table,
           c.relkind = 'r'
           AND coalesce(pg_catalog.obj_description(c.oid, 'pg_class'), '') ~ '^@reeve:shared'
             AS is_shared
    FROM member m
    JOIN pg_catalog.pg_class c ON c.oid = m.objid
    WHERE m.classid = 'pg_catalog.pg_class'::pg_catalog.regclass
      AND c.relkind IN ('r', 'v', 'm', 'p', 'f', 'S')
)
SELECT coalesce(array_agg(oid), '{}') AS relations,
       coalesce(array_agg(oid) FILTER (WHERE is_table AND NOT is_shared AND row_security), '{}')
         AS rows,
       coalesce(array_agg(oid) FILTER (WHERE is_table AND NOT is_shared AND shaped
                                       AND NOT row_security), '{}') AS own,
       coalesce(array_agg(oid) FILTER (WHERE is_shared), '{}') AS shared,
       (SELECT coalesce(array_agg(objid), '{}') FROM member
        WHERE classid = 'pg_catalog.pg_proc'::pg_catalog.regclass) AS routines
FROM relation
