-- Columns of the tables that the session may fill in a schema: (table, column, type, base type,
-- category, most characters or 0, needed, is the tenant column, an enum's first label, the table and
-- column that it refers to, whether text may be put in without being asked for).
-- $1 schema
SELECT c.relname, a.attname, pg_catalog.format_type(a.atttypid, a.atttypmod), b.typname,
       b.typcategory,
       CASE WHEN b.typname IN ('varchar', 'bpchar') AND m.modifier > 4 THEN m.modifier - 4
            WHEN b.typname = 'bpchar' THEN 1 ELSE 0 END,
       (a.attnotnull OR t.typnotnull) AND NOT a.atthasdef AND t.typdefault IS NULL
         AND a.attidentity = '' AND a.attname <> 'tenant_id',
       a.attname = 'tenant_id',
       (SELECT e.enumlabel FROM pg_catalog.pg_enum e WHERE e.enumtypid = b.oid
        ORDER BY e.enumsortorder LIMIT 1),
       k.relation, k.attribute,
       b.typcategory = 'S' AND NOT a.atthasdef AND t.typdefault IS NULL
FROM pg_catalog.pg_class c
JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
JOIN pg_catalog.pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
JOIN pg_catalog.pg_type t ON t.oid = a.atttypid
CROSS JOIN LATERAL (
    SELECT CASE t.typtype WHEN 'd' THEN t.typbasetype ELSE t.oid END AS type,
           CASE t.typtype WHEN 'd' THEN t.typtypmod ELSE a.atttypmod END AS modifier
) m
JOIN pg_catalog.pg_type b ON b.oid = m.type
LEFT JOIN LATERAL (
    SELECT r.relname AS relation, o.attname AS attribute
    FROM pg_catalog.pg_constraint f
    CROSS JOIN LATERAL unnest(f.conkey, f.confkey) AS pair(own, other)
    JOIN pg_catalog.pg_class r ON r.oid = f.confrelid AND r.relnamespace = c.relnamespace
    JOIN pg_catalog.pg_attribute o ON o.attrelid = r.oid AND o.attnum = pair.other
    WHERE f.conrelid = c.oid AND f.contype = 'f' AND pair.own = a.attnum
    ORDER BY f.oid LIMIT 1
) k ON true
WHERE n.nspname = $1::text AND c.relkind IN ('r', 'p') AND NOT c.relispartition
  AND pg_catalog.has_table_privilege(c.oid, 'INSERT')
  AND pg_catalog.has_table_privilege(c.oid, 'SELECT')
  AND a.attgenerated = '' AND a.attidentity <> 'a'
ORDER BY c.relname, a.attnum
