-- What of a service is not its owner role's. Whoever owns a table decides on its policies.
-- $1 targets, $2 relations of the targets, $3 their routines
WITH target AS (
    SELECT n.oid, n.nspname, n.nspowner, t.owner
    FROM jsonb_to_recordset($1::jsonb) AS t(schema text, owner text)
    JOIN pg_catalog.pg_namespace n ON n.nspname = t.schema::name
), owned(kind, name, target, owner, wanted) AS (
    SELECT 'SCHEMA', format('%I', nspname), nspname, nspowner, owner
    FROM target
    UNION ALL
    SELECT CASE c.relkind WHEN 'S' THEN 'SEQUENCE' WHEN 'v' THEN 'VIEW'
           WHEN 'm' THEN 'MATERIALIZED VIEW' ELSE 'TABLE' END,
           format('%I.%I', t.nspname, c.relname), t.nspname, c.relowner, t.owner
    FROM target t
    JOIN pg_catalog.pg_class c ON c.relnamespace = t.oid AND c.oid = ANY ($2::oid[])
    WHERE NOT EXISTS (SELECT FROM pg_catalog.pg_depend d
                      WHERE d.classid = 'pg_catalog.pg_class'::pg_catalog.regclass
                        AND d.objid = c.oid AND d.deptype = 'e')
    UNION ALL
    SELECT 'ROUTINE', format('%I.%I(%s)', t.nspname, p.proname,
                             pg_catalog.pg_get_function_identity_arguments(p.oid)),
           t.nspname, p.proowner, t.owner
    FROM target t
    JOIN pg_catalog.pg_proc p ON p.pronamespace = t.oid AND p.oid = ANY ($3::oid[])
    WHERE NOT EXISTS (SELECT FROM pg_catalog.pg_depend d
                      WHERE d.classid = 'pg_catalog.pg_proc'::pg_catalog.regclass
                        AND d.objid = p.oid AND d.deptype = 'e')
)
SELECT lower(kind) || ' ' || name AS object,
       format('is owned by "%s", not by "%s"', pg_catalog.pg_get_userbyid(owner), wanted) AS message,
       format('ALTER %s %s OWNER TO %I', kind, name, wanted) AS remedy,
       target AS subject,
       CASE WHEN pg_catalog.pg_get_userbyid(owner)
                 ~ '^(t_[0-9]{6,}(_[0-9]+)?(_ro)?|(own|run|use)_.+|reeve_pool)$' THEN NULL
            ELSE 'warning' END AS severity
FROM owned
WHERE pg_catalog.pg_get_userbyid(owner) <> wanted::name
ORDER BY 1
