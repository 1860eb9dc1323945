-- What this transaction did outside its target's schema. Relations are found by the locks that are
-- kept for whatever was read, written or changed; of others' places even reading is too much. The
-- rest by their rows: one that is visible although its transaction is in progress is this
-- transaction's own, or a subtransaction's (which begin behind it; the bound keeps out rows that are
-- older than numbers of transactions go). Privileges take no locks on tables: the rows of shared
-- tables and of Reeve's own are looked at.
-- $1 schemas of the targets
WITH used(class, oid, namespace) AS (
    SELECT DISTINCT 'pg_catalog.pg_class'::pg_catalog.regclass, c.oid, c.relnamespace
    FROM pg_catalog.pg_locks l
    JOIN pg_catalog.pg_class c ON c.oid = l.relation AND c.relkind IN ('r', 'v', 'm', 'p', 'f', 'S')
    JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
    WHERE l.pid = pg_catalog.pg_backend_pid() AND l.locktype = 'relation' AND l.granted
      AND l.database = (SELECT oid FROM pg_catalog.pg_database WHERE datname = current_database())
      AND (n.nspname ~ '^(t_[0-9]{6,}(_[0-9]+)?|app)$'
           OR l.mode NOT IN ('AccessShareLock', 'RowShareLock')
              AND NOT (n.nspname = 'reeve' AND c.relname = 'migration'
                       AND l.mode = 'RowExclusiveLock'))
), written(class, oid, namespace, writer) AS (
    SELECT 'pg_catalog.pg_namespace'::pg_catalog.regclass, oid, oid, xmin
    FROM pg_catalog.pg_namespace
    UNION ALL
    SELECT 'pg_catalog.pg_proc'::pg_catalog.regclass, oid, pronamespace, xmin
    FROM pg_catalog.pg_proc
    UNION ALL
    SELECT 'pg_catalog.pg_database'::pg_catalog.regclass, oid, NULL, xmin
    FROM pg_catalog.pg_database
    UNION ALL
    SELECT 'pg_catalog.pg_class'::pg_catalog.regclass, c.oid, c.relnamespace, x.writer
    FROM pg_catalog.pg_depend d
    JOIN pg_catalog.pg_class c ON c.oid = d.objid AND c.relkind IN ('r', 'v', 'm', 'p', 'f', 'S')
    CROSS JOIN LATERAL (SELECT c.xmin AS writer
                        UNION
                        SELECT a.xmin FROM pg_catalog.pg_attribute a
                        WHERE a.attrelid = c.oid AND a.attacl IS NOT NULL) x
    WHERE d.classid = 'pg_catalog.pg_class'::pg_catalog.regclass
      AND d.refclassid = 'pg_catalog.pg_namespace'::pg_catalog.regclass
      AND d.refobjid IN (SELECT oid FROM pg_catalog.pg_namespace
                         WHERE nspname IN ('app', 'reeve') AND nspname <> ALL ($1::text[]::name[]))
), fresh AS (
    SELECT w.class, w.oid, w.namespace,
           (pg_catalog.pg_current_xact_id()::text::numeric - pg_catalog.age(w.writer))
             ::text::pg_catalog.xid8 AS writer
    FROM written w
    WHERE pg_catalog.age(w.writer) BETWEEN -1000000 AND 0
), touched AS (
    SELECT class, oid, namespace FROM used
    UNION
    SELECT class, oid, namespace FROM fresh
    WHERE CASE WHEN writer < pg_catalog.pg_snapshot_xmax(pg_catalog.pg_current_snapshot())
          THEN pg_catalog.pg_xact_status(writer) = 'in progress' ELSE true END
)
SELECT pg_catalog.pg_describe_object(t.class, t.oid, 0) AS object,
       'was used or changed by the migration, outside its own schema' AS message,
       'write names without a schema, and leave privileges to Reeve' AS remedy,
       NULL AS subject, NULL AS severity
FROM touched t
LEFT JOIN pg_catalog.pg_namespace n ON n.oid = t.namespace
WHERE NOT coalesce(n.nspname = ANY ($1::text[]::name[])
                   OR n.nspname ~ '^(pg_|information_schema$)', false)
  AND NOT EXISTS (SELECT FROM pg_catalog.pg_depend d
                  WHERE d.classid = t.class AND d.objid = t.oid AND d.deptype = 'e')
ORDER BY 1
