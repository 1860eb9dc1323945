-- What stands in the targets' schemas, as arrays of oids, so that the checks look things up by index
-- and pg_class is read once: (relations, rows, own, shared, routines). `rows` are tenants' tables
-- that only row-level security keeps apart, `own` tenants' tables of other targets that are shaped,
-- `shared` reference tables.
-- $1 targets
WITH target AS (
    SELECT n.oid, t.shaped, t.row_security
    FROM jsonb_to_recordset($1::jsonb) AS t(schema text, shaped boolean, row_security boolean)
    JOIN pg_catalog.pg_namespace n ON n.nspname = t.schema::name
), relation AS MATERIALIZED (
    SELECT c.oid, t.shaped, t.row_security, c.relkind = 'r' AS is_table,
           c.relkind = 'r'
           AND coalesce(pg_catalog.obj_description(c.oid, 'pg_class'), '') ~ '^@reeve:shared'
             AS is_shared
    FROM pg_catalog.pg_class c
    JOIN target t ON t.oid = c.relnamespace
    WHERE c.relkind IN ('r', 'v', 'm', 'p', 'f', 'S')
)
SELECT coalesce(array_agg(oid), '{}') AS relations,
       coalesce(array_agg(oid) FILTER (WHERE is_table AND NOT is_shared AND row_security), '{}')
         AS rows,
       coalesce(array_agg(oid) FILTER (WHERE is_table AND NOT is_shared AND shaped
                                       AND NOT row_security), '{}') AS own,
       coalesce(array_agg(oid) FILTER (WHERE is_shared), '{}') AS shared,
       (SELECT coalesce(array_agg(p.oid), '{}')
        FROM pg_catalog.pg_proc p JOIN target t ON t.oid = p.pronamespace) AS routines
FROM relation
