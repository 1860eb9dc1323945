-- Views and rules that read relations of other schemas: with their owner's rights, that is another
-- tenant's data.
-- $1 relations of the targets
SELECT DISTINCT format('view %I.%I', n.nspname, v.relname) AS object,
       format('uses %I.%I, in another schema', rn.nspname, r.relname) AS message,
       format('DROP VIEW %I.%I, or write it with relations of its own schema', n.nspname, v.relname)
         AS remedy,
       n.nspname AS subject,
       CASE WHEN rn.nspname ~ '^(t_[0-9]{6,}(_[0-9]+)?|app|reeve)$' THEN NULL ELSE 'warning' END AS severity
FROM pg_catalog.pg_rewrite w
JOIN pg_catalog.pg_class v ON v.oid = w.ev_class
JOIN pg_catalog.pg_namespace n ON n.oid = v.relnamespace
JOIN pg_catalog.pg_depend d
  ON d.classid = 'pg_catalog.pg_rewrite'::pg_catalog.regclass AND d.objid = w.oid
 AND d.refclassid = 'pg_catalog.pg_class'::pg_catalog.regclass
JOIN pg_catalog.pg_class r ON r.oid = d.refobjid
JOIN pg_catalog.pg_namespace rn ON rn.oid = r.relnamespace
WHERE w.ev_class = ANY ($1::oid[]) AND rn.oid <> n.oid
  AND rn.nspname NOT IN ('pg_catalog', 'information_schema')
  AND NOT EXISTS (SELECT FROM pg_catalog.pg_depend e
                  WHERE e.classid = 'pg_catalog.pg_class'::pg_catalog.regclass
                    AND e.objid = r.oid AND e.deptype = 'e')
ORDER BY 1, 2
