-- What the targets' own roles may do beyond reading and writing rows: TRUNCATE passes policies by,
-- REFERENCES and TRIGGER and CREATE make objects, UPDATE on a sequence sets it for all.
-- $1 targets, $2 relations of the targets, $3 their routines, $4 shared reference tables
WITH target AS (
    SELECT n.oid, n.nspname, n.nspacl, g.role, g.writes
    FROM jsonb_to_recordset($1::jsonb) AS t(schema text, role text, ro_role text)
    JOIN pg_catalog.pg_namespace n ON n.nspname = t.schema::name
    CROSS JOIN LATERAL (VALUES (t.role, true), (t.ro_role, false)) AS w(name, writes)
    JOIN LATERAL (SELECT r.oid AS role, w.writes FROM pg_catalog.pg_roles r
                  WHERE r.rolname = w.name::name) g ON true
), granted(kind, name, target, role, privilege, grantable, allowed) AS (
    SELECT 'SCHEMA', format('%I', t.nspname), t.nspname, t.role, a.privilege_type, a.is_grantable,
           ARRAY['USAGE']
    FROM target t CROSS JOIN LATERAL pg_catalog.aclexplode(t.nspacl) a
    WHERE a.grantee = t.role
    UNION ALL
    SELECT CASE c.relkind WHEN 'S' THEN 'SEQUENCE' ELSE 'TABLE' END,
           format('%I.%I', t.nspname, c.relname), t.nspname, t.role, a.privilege_type,
           a.is_grantable,
           CASE WHEN c.relkind = 'S' AND t.writes THEN ARRAY['USAGE', 'SELECT']
                WHEN c.relkind = 'S' THEN '{}'
                WHEN c.relkind = 'm' OR NOT t.writes OR c.oid = ANY ($4::oid[])
                THEN ARRAY['SELECT']
                ELSE ARRAY['SELECT', 'INSERT', 'UPDATE', 'DELETE'] END
    FROM target t
    JOIN pg_catalog.pg_class c ON c.relnamespace = t.oid AND c.oid = ANY ($2::oid[])
    CROSS JOIN LATERAL pg_catalog.aclexplode(c.relacl) a
    WHERE a.grantee = t.role
    UNION ALL
    SELECT 'TABLE', format('%I.%I', t.nspname, c.relname), t.nspname, t.role,
           format('%s (%I)', a.privilege_type, u.attname), a.is_grantable,
           CASE WHEN t.writes AND c.oid <> ALL ($4::oid[])
                THEN ARRAY[format('SELECT (%I)', u.attname), format('INSERT (%I)', u.attname),
                           format('UPDATE (%I)', u.attname)]
                ELSE ARRAY[format('SELECT (%I)', u.attname)] END
    FROM target t
    JOIN pg_catalog.pg_class c ON c.relnamespace = t.oid AND c.oid = ANY ($2::oid[])
    JOIN pg_catalog.pg_attribute u ON u.attrelid = c.oid AND u.attacl IS NOT NULL
    CROSS JOIN LATERAL pg_catalog.aclexplode(u.attacl) a
    WHERE a.grantee = t.role
    UNION ALL
    SELECT 'ROUTINE', format('%I.%I(%s)', t.nspname, p.proname,
                             pg_catalog.pg_get_function_identity_arguments(p.oid)),
           t.nspname, t.role, a.privilege_type, a.is_grantable, ARRAY['EXECUTE']
    FROM target t
    JOIN pg_catalog.pg_proc p ON p.pronamespace = t.oid AND p.oid = ANY ($3::oid[])
    CROSS JOIN LATERAL pg_catalog.aclexplode(p.proacl) a
    WHERE a.grantee = t.role
)
SELECT lower(kind) || ' ' || name AS object,
       format('role "%s" has %s', pg_catalog.pg_get_userbyid(role),
              string_agg(privilege || CASE WHEN grantable THEN ' with grant option' ELSE '' END,
                         ', ' ORDER BY privilege)) AS message,
       format('REVOKE %s ON %s %s FROM %I', string_agg(privilege, ', ' ORDER BY privilege), kind,
              name, pg_catalog.pg_get_userbyid(role)) AS remedy,
       target AS subject, NULL AS severity
FROM granted
WHERE grantable OR privilege <> ALL (allowed)
GROUP BY kind, name, target, role
ORDER BY 1, 2
