-- What this transaction changed outside its target: schemas, relations, functions, policies,
-- triggers, rules and constraints of others, and databases' privileges. A visible row of a
-- transaction in progress is this transaction's own, or one of its subtransactions' (which begin
-- behind it; the bound keeps out rows that are older than numbers of transactions go).
-- $1 schemas of the targets
WITH changed(class, oid, namespace, writer) AS (
    SELECT 'pg_catalog.pg_namespace'::pg_catalog.regclass, oid, oid, xmin
    FROM pg_catalog.pg_namespace WHERE pg_catalog.age(xmin) BETWEEN -1000000 AND 0
    UNION ALL
    SELECT 'pg_catalog.pg_class'::pg_catalog.regclass, oid, relnamespace, xmin
    FROM pg_catalog.pg_class
    WHERE pg_catalog.age(xmin) BETWEEN -1000000 AND 0 AND relkind IN ('r', 'v', 'm', 'p', 'f', 'S')
    UNION ALL
    SELECT 'pg_catalog.pg_proc'::pg_catalog.regclass, oid, pronamespace, xmin
    FROM pg_catalog.pg_proc WHERE pg_catalog.age(xmin) BETWEEN -1000000 AND 0
    UNION ALL
    SELECT 'pg_catalog.pg_policy'::pg_catalog.regclass, p.oid, c.relnamespace, p.xmin
    FROM pg_catalog.pg_policy p JOIN pg_catalog.pg_class c ON c.oid = p.polrelid
    WHERE pg_catalog.age(p.xmin) BETWEEN -1000000 AND 0
    UNION ALL
    SELECT 'pg_catalog.pg_trigger'::pg_catalog.regclass, t.oid, c.relnamespace, t.xmin
    FROM pg_catalog.pg_trigger t JOIN pg_catalog.pg_class c ON c.oid = t.tgrelid
    WHERE pg_catalog.age(t.xmin) BETWEEN -1000000 AND 0
    UNION ALL
    SELECT 'pg_catalog.pg_rewrite'::pg_catalog.regclass, w.oid, c.relnamespace, w.xmin
    FROM pg_catalog.pg_rewrite w JOIN pg_catalog.pg_class c ON c.oid = w.ev_class
    WHERE pg_catalog.age(w.xmin) BETWEEN -1000000 AND 0
    UNION ALL
    SELECT 'pg_catalog.pg_constraint'::pg_catalog.regclass, oid, connamespace, xmin
    FROM pg_catalog.pg_constraint WHERE pg_catalog.age(xmin) BETWEEN -1000000 AND 0
    UNION ALL
    SELECT 'pg_catalog.pg_database'::pg_catalog.regclass, oid, NULL, xmin
    FROM pg_catalog.pg_database WHERE pg_catalog.age(xmin) BETWEEN -1000000 AND 0
), own AS (
    SELECT c.*,
           (pg_catalog.pg_current_xact_id()::text::numeric
            - pg_catalog.age(c.writer))::text::pg_catalog.xid8 AS xid
    FROM changed c
)
SELECT pg_catalog.pg_describe_object(o.class, o.oid, 0) AS object,
       'was changed by the migration, outside its own schema' AS message,
       'write names without a schema, and leave privileges to Reeve' AS remedy,
       NULL AS subject, NULL AS severity
FROM own o
LEFT JOIN pg_catalog.pg_namespace n ON n.oid = o.namespace
WHERE CASE WHEN o.xid < pg_catalog.pg_snapshot_xmax(pg_catalog.pg_current_snapshot())
           THEN pg_catalog.pg_xact_status(o.xid) = 'in progress' ELSE true END
  AND NOT coalesce(n.nspname = ANY ($1::text[]::name[]) OR n.nspname ~ '^(pg_|information_schema$)',
               false)
  AND NOT EXISTS (SELECT FROM pg_catalog.pg_depend d
                  WHERE d.classid = o.class AND d.objid = o.oid AND d.deptype = 'e')
ORDER BY 1
