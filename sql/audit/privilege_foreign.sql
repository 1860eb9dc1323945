-- Who else may do something with the service's schemas and what is in them. Of roles that are not
-- Reeve's it is the operator's own doing, and the next migration takes it away from tables.
-- $1 targets, $2 relations of the targets, $3 their routines
WITH target AS (
    SELECT n.oid, n.nspname, n.nspowner, n.nspacl, t.owner, t.role, t.ro_role
    FROM jsonb_to_recordset($1::jsonb) AS t(schema text, owner text, role text, ro_role text)
    JOIN pg_catalog.pg_namespace n ON n.nspname = t.schema::name
), granted(kind, name, target, holder, grantee, privilege) AS (
    SELECT 'SCHEMA', format('%I', t.nspname), t.oid, t.nspowner, a.grantee, a.privilege_type
    FROM target t CROSS JOIN LATERAL pg_catalog.aclexplode(t.nspacl) a
    UNION ALL
    SELECT CASE c.relkind WHEN 'S' THEN 'SEQUENCE' ELSE 'TABLE' END,
           format('%I.%I', t.nspname, c.relname), t.oid, c.relowner, a.grantee, a.privilege_type
    FROM target t
    JOIN pg_catalog.pg_class c ON c.relnamespace = t.oid AND c.oid = ANY ($2::oid[])
    CROSS JOIN LATERAL pg_catalog.aclexplode(c.relacl) a
    UNION ALL
    SELECT 'TABLE', format('%I.%I', t.nspname, c.relname), t.oid, c.relowner, a.grantee,
           format('%s (%I)', a.privilege_type, u.attname)
    FROM target t
    JOIN pg_catalog.pg_class c ON c.relnamespace = t.oid AND c.oid = ANY ($2::oid[])
    JOIN pg_catalog.pg_attribute u ON u.attrelid = c.oid AND u.attacl IS NOT NULL
    CROSS JOIN LATERAL pg_catalog.aclexplode(u.attacl) a
    UNION ALL
    SELECT 'ROUTINE', format('%I.%I(%s)', t.nspname, p.proname,
                             pg_catalog.pg_get_function_identity_arguments(p.oid)),
           t.oid, p.proowner, a.grantee, a.privilege_type
    FROM target t
    JOIN pg_catalog.pg_proc p ON p.pronamespace = t.oid AND p.oid = ANY ($3::oid[])
    CROSS JOIN LATERAL pg_catalog.aclexplode(p.proacl) a
)
SELECT lower(g.kind) || ' ' || g.name AS object,
       format('role "%s" has %s', r.rolname, string_agg(g.privilege, ', ' ORDER BY g.privilege))
         AS message,
       format('REVOKE %s ON %s %s FROM %I', string_agg(g.privilege, ', ' ORDER BY g.privilege),
              g.kind, g.name, r.rolname) AS remedy,
       t.nspname AS subject,
       CASE WHEN r.rolname ~ '^(t_[0-9]{6,}(_[0-9]+)?(_ro)?|(own|run|use)_.+|reeve_pool)$' THEN NULL
            ELSE 'warning' END AS severity
FROM granted g
JOIN target t ON t.oid = g.target
JOIN pg_catalog.pg_roles r ON r.oid = g.grantee AND NOT r.rolsuper
WHERE g.grantee <> g.holder AND r.rolname <> ALL (ARRAY[t.owner, t.role, t.ro_role]::name[])
GROUP BY g.kind, g.name, r.rolname, t.nspname
ORDER BY 1, 2
