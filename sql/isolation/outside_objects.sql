-- Relations and functions that this transaction made outside the target's schema: (name).
-- $1 schema
SELECT n.nspname || '.' || o.name AS name
FROM (SELECT relname AS name, relnamespace AS namespace, xmin, oid,
             'pg_catalog.pg_class'::pg_catalog.regclass AS catalog
      FROM pg_catalog.pg_class WHERE relkind IN ('r', 'v', 'm', 'p', 'f', 'S')
      UNION ALL
      SELECT proname, pronamespace, xmin, oid, 'pg_catalog.pg_proc'::pg_catalog.regclass
      FROM pg_catalog.pg_proc) o
JOIN pg_catalog.pg_namespace n ON n.oid = o.namespace
WHERE o.xmin = pg_catalog.pg_current_xact_id_if_assigned()::xid
  AND n.nspname NOT IN ($1::text, 'pg_toast') AND n.nspname !~ '^pg_(toast_)?temp_'
  AND NOT EXISTS (SELECT FROM pg_catalog.pg_depend d
                  WHERE d.classid = o.catalog AND d.objid = o.oid AND d.deptype = 'e')
ORDER BY 1
