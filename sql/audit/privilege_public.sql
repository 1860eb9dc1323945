-- What PUBLIC may do with the service's schemas and what is in them: nothing.
-- $1 schemas of the targets, $2 their relations, $3 their routines
WITH granted(kind, name, subject, privilege) AS (
    SELECT 'SCHEMA', format('%I', n.nspname), n.nspname, a.privilege_type
    FROM pg_catalog.pg_namespace n
    CROSS JOIN LATERAL pg_catalog.aclexplode(n.nspacl) a
    WHERE n.nspname = ANY ($1::text[]::name[]) AND a.grantee = 0
    UNION ALL
    SELECT CASE c.relkind WHEN 'S' THEN 'SEQUENCE' ELSE 'TABLE' END,
           format('%I.%I', n.nspname, c.relname), n.nspname, a.privilege_type
    FROM pg_catalog.pg_class c
    JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
    CROSS JOIN LATERAL pg_catalog.aclexplode(c.relacl) a
    WHERE c.oid = ANY ($2::oid[]) AND a.grantee = 0
    UNION ALL
    SELECT 'TABLE', format('%I.%I', n.nspname, c.relname), n.nspname,
           format('%s (%I)', a.privilege_type, t.attname)
    FROM pg_catalog.pg_attribute t
    JOIN pg_catalog.pg_class c ON c.oid = t.attrelid
    JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
    CROSS JOIN LATERAL pg_catalog.aclexplode(t.attacl) a
    WHERE t.attrelid = ANY ($2::oid[]) AND t.attacl IS NOT NULL AND a.grantee = 0
    UNION ALL
    SELECT 'ROUTINE', format('%I.%I(%s)', n.nspname, p.proname,
                             pg_catalog.pg_get_function_identity_arguments(p.oid)),
           n.nspname, a.privilege_type
    FROM pg_catalog.pg_proc p
    JOIN pg_catalog.pg_namespace n ON n.oid = p.pronamespace
    CROSS JOIN LATERAL pg_catalog.aclexplode(
        coalesce(p.proacl, pg_catalog.acldefault('f', p.proowner))) a
    WHERE p.oid = ANY ($3::oid[]) AND a.grantee = 0
)
SELECT lower(kind) || ' ' || name AS object,
       format('PUBLIC, so every tenant and service on the server, has %s',
              string_agg(privilege, ', ' ORDER BY privilege)) AS message,
       format('REVOKE %s ON %s %s FROM PUBLIC', string_agg(privilege, ', ' ORDER BY privilege),
              kind, name) AS remedy,
       subject, CASE kind WHEN 'ROUTINE' THEN 'warning' END AS severity
FROM granted
GROUP BY kind, name, subject
ORDER BY 1
