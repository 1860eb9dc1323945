-- What cannot be brought into shape: (message, hint), nothing when all can.
-- $1 schema, $2 owner role
WITH space AS (
    SELECT oid FROM pg_catalog.pg_namespace WHERE nspname = $1::text
), relation AS (
    SELECT c.oid, c.relname, c.relkind, c.relispartition, a.attnum, a.atttypid, a.attgenerated,
           a.attidentity,
           coalesce(pg_catalog.obj_description(c.oid, 'pg_class'), '') ~ '^@reeve:shared' AS shared
    FROM pg_catalog.pg_class c
    LEFT JOIN pg_catalog.pg_attribute a
      ON a.attrelid = c.oid AND a.attname = 'tenant_id' AND NOT a.attisdropped
    WHERE c.relnamespace = (SELECT oid FROM space)
)
SELECT format('table "%s" is partitioned; partitioned tables cannot be shaped', relname) AS message,
       'Use an ordinary table, or a service that does not allow row isolation.' AS hint
FROM relation WHERE relkind = 'p' OR relispartition
UNION ALL
SELECT format('"%s" is a materialized view; it would hold rows of all tenants', relname),
       'Use a view or a table.'
FROM relation WHERE relkind = 'm'
UNION ALL
SELECT format('"%s" is a foreign table; row-level security does not hold there', relname),
       'Use an ordinary table.'
FROM relation WHERE relkind = 'f'
UNION ALL
SELECT format('table "%s" inherits from another table; inheritance cannot be shaped', relname),
       'Use a table of its own, or a foreign key.'
FROM relation JOIN pg_catalog.pg_inherits i ON i.inhrelid = relation.oid
WHERE relkind = 'r' AND NOT relispartition
UNION ALL
SELECT format('function "%s" is SECURITY DEFINER; it would see rows of all tenants', p.proname),
       'Use SECURITY INVOKER.'
FROM pg_catalog.pg_proc p
WHERE p.prosecdef
  AND (p.pronamespace = (SELECT oid FROM space) OR p.proowner = pg_catalog.to_regrole(quote_ident($2::text)))
UNION ALL
SELECT format('column "tenant_id" of table "%s" is Reeve''s, and must be a plain bigint', relname),
       'Declare it as bigint, or leave it out: Reeve adds it.'
FROM relation
WHERE relkind = 'r' AND NOT shared AND attnum IS NOT NULL
  AND (atttypid <> 'pg_catalog.int8'::pg_catalog.regtype OR attgenerated <> '' OR attidentity <> '')
UNION ALL
SELECT format('table "%s" is declared @reeve:shared but has a column "tenant_id"', relname),
       'A table that holds tenants'' rows cannot be shared; drop the comment.'
FROM relation WHERE relkind = 'r' AND shared AND attnum IS NOT NULL
UNION ALL
SELECT format('exclusion constraint "%s" of table "%s" does not carry the tenant column',
              k.conname, r.relname),
       'Write it with "tenant_id WITH =" first (extension btree_gist), in a table with a column '
       'tenant_id bigint.'
FROM pg_catalog.pg_constraint k
JOIN relation r ON r.oid = k.conrelid AND NOT r.shared
WHERE k.contype = 'x'
  AND NOT EXISTS (SELECT FROM unnest(k.conkey, k.conexclop) AS e(attnum, operator)
                  JOIN pg_catalog.pg_operator o ON o.oid = e.operator
                  WHERE e.attnum = r.attnum AND o.oprname = '=')
UNION ALL
SELECT format('foreign key "%s" of table "%s" cannot be shaped: ON UPDATE SET NULL and ON UPDATE '
              'SET DEFAULT would set the tenant column too', k.conname, r.relname),
       'Use ON UPDATE CASCADE or NO ACTION.'
FROM pg_catalog.pg_constraint k
JOIN relation r ON r.oid = k.conrelid AND NOT r.shared
JOIN relation t ON t.oid = k.confrelid AND NOT t.shared
WHERE k.contype = 'f' AND k.confupdtype IN ('n', 'd')
UNION ALL
SELECT format('foreign key "%s" of table "%s" cannot be shaped: MATCH FULL with more than one '
              'column', k.conname, r.relname),
       'Use MATCH SIMPLE, with a CHECK that all columns are null or none is.'
FROM pg_catalog.pg_constraint k
JOIN relation r ON r.oid = k.conrelid AND NOT r.shared
JOIN relation t ON t.oid = k.confrelid AND NOT t.shared
WHERE k.contype = 'f' AND k.confmatchtype = 'f' AND cardinality(k.conkey) > 1
UNION ALL
SELECT format('foreign key "%s" of shared table "%s" references "%s", which is not shared',
              k.conname, r.relname, t.relname),
       'Shared reference tables may reference only shared tables.'
FROM pg_catalog.pg_constraint k
JOIN relation r ON r.oid = k.conrelid AND r.shared
JOIN relation t ON t.oid = k.confrelid AND NOT t.shared
WHERE k.contype = 'f'
UNION ALL
SELECT format('foreign key "%s" of table "%s" references "%s" in another schema', k.conname,
              r.relname, k.confrelid::pg_catalog.regclass),
       'All tables of a service are in one schema; write names without a schema.'
FROM pg_catalog.pg_constraint k
JOIN relation r ON r.oid = k.conrelid
WHERE k.contype = 'f' AND NOT EXISTS (SELECT FROM relation t WHERE t.oid = k.confrelid)
UNION ALL
SELECT format('view "%s" groups by "%s" of table "%s" alone', v.relname, k.conname, r.relname),
       'Name every selected column in GROUP BY: the primary key will have tenant_id as well.'
FROM pg_catalog.pg_constraint k
JOIN relation r ON r.oid = k.conrelid AND NOT r.shared
JOIN pg_catalog.pg_depend d
  ON d.refclassid = 'pg_catalog.pg_constraint'::pg_catalog.regclass AND d.refobjid = k.oid
 AND d.classid = 'pg_catalog.pg_rewrite'::pg_catalog.regclass
JOIN pg_catalog.pg_rewrite w ON w.oid = d.objid
JOIN pg_catalog.pg_class v ON v.oid = w.ev_class
WHERE k.contype = 'p' AND (r.attnum IS NULL OR NOT r.attnum = ANY (k.conkey))
UNION ALL
SELECT format('policy "%s" on table "%s" is not Reeve''s', p.polname, r.relname),
       'Row-level security belongs to Reeve in a service that allows row isolation.'
FROM pg_catalog.pg_policy p JOIN relation r ON r.oid = p.polrelid
WHERE p.polname NOT IN ('reeve_tenant', 'reeve_owner')
UNION ALL
SELECT format('trigger "%s" on table "%s" is enabled ALWAYS or REPLICA; it would run while Reeve works on rows',
              t.tgname, r.relname),
       'Enable it as an ordinary trigger.'
FROM pg_catalog.pg_trigger t JOIN relation r ON r.oid = t.tgrelid
WHERE NOT t.tgisinternal AND t.tgenabled IN ('A', 'R')
UNION ALL
SELECT format('rule "%s" on "%s" would run with the owner''s rights', w.rulename, r.relname),
       'Use a trigger.'
FROM pg_catalog.pg_rewrite w JOIN relation r ON r.oid = w.ev_class
WHERE w.ev_type <> '1'
ORDER BY 1
