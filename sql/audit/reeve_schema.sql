-- Reeve's own objects in a database: who a session is must be Reeve's word alone. Tenants may ask
-- reeve.tenant_id(); an owner role may write the ledger, how far a change stream was applied, and which
-- indexes are to be made behind a copy.
WITH object(class, oid, kind, name, owner, acl, is_function) AS (
    SELECT 'pg_catalog.pg_namespace'::pg_catalog.regclass, n.oid, 'SCHEMA', format('%I', n.nspname),
           n.nspowner, n.nspacl, false
    FROM pg_catalog.pg_namespace n WHERE n.nspname = 'reeve'
    UNION ALL
    SELECT 'pg_catalog.pg_class'::pg_catalog.regclass, c.oid, 'TABLE', format('reeve.%I', c.relname),
           c.relowner, c.relacl, false
    FROM pg_catalog.pg_class c
    WHERE c.relnamespace = pg_catalog.to_regnamespace('reeve')
      AND c.relkind IN ('r', 'v', 'm', 'p', 'f', 'S')
    UNION ALL
    SELECT 'pg_catalog.pg_proc'::pg_catalog.regclass, p.oid, 'ROUTINE',
           format('reeve.%I(%s)', p.proname,
                  pg_catalog.pg_get_function_identity_arguments(p.oid)), p.proowner,
           NULL::pg_catalog.aclitem[], true
    FROM pg_catalog.pg_proc p WHERE p.pronamespace = pg_catalog.to_regnamespace('reeve')
), finding(kind, name, message, remedy) AS (
    SELECT 'SCHEMA', 'reeve', 'is not there', 'make it again as docs/audit.md shows'
    WHERE pg_catalog.to_regnamespace('reeve') IS NULL
    UNION ALL
    SELECT o.kind, o.name, format('is owned by "%s", who can change it',
                                  pg_catalog.pg_get_userbyid(o.owner)),
           format('ALTER %s %s OWNER TO the administrator', o.kind, o.name)
    FROM object o
    WHERE pg_catalog.pg_get_userbyid(o.owner)
          ~ '^(t_[0-9]{6,}(_[0-9]+)?(_ro)?|(own|run|use)_.+|reeve_pool)$'
    UNION ALL
    SELECT o.kind, o.name,
           format('%s has %s', CASE a.grantee WHEN 0 THEN 'PUBLIC'
                               ELSE format('role "%s"', pg_catalog.pg_get_userbyid(a.grantee)) END,
                  string_agg(a.privilege_type, ', ' ORDER BY a.privilege_type)),
           format('REVOKE %s ON %s %s FROM %s',
                  string_agg(a.privilege_type, ', ' ORDER BY a.privilege_type), o.kind, o.name,
                  CASE a.grantee WHEN 0 THEN 'PUBLIC'
                  ELSE quote_ident(pg_catalog.pg_get_userbyid(a.grantee)) END)
    FROM object o
    CROSS JOIN LATERAL pg_catalog.aclexplode(o.acl) a
    WHERE a.grantee <> o.owner
      AND (a.grantee = 0
           OR pg_catalog.pg_get_userbyid(a.grantee)
              ~ '^(t_[0-9]{6,}(_[0-9]+)?(_ro)?|(own|run|use)_.+|reeve_pool)$')
      AND NOT (o.kind = 'SCHEMA' AND a.privilege_type = 'USAGE')
      AND NOT (o.name = 'reeve.migration' AND a.privilege_type IN ('SELECT', 'INSERT')
               AND pg_catalog.pg_get_userbyid(a.grantee) ~ '^own_')
      AND NOT (o.name ~ '^reeve\.reeve_(move|back)_[0-9]+$' AND a.privilege_type IN ('SELECT', 'UPDATE')
               AND pg_catalog.pg_get_userbyid(a.grantee) ~ '^own_')
      AND NOT (o.name ~ '^reeve\.reeve_move_[0-9]+_index$'
               AND a.privilege_type IN ('SELECT', 'INSERT', 'DELETE')
               AND pg_catalog.pg_get_userbyid(a.grantee) ~ '^own_')
    GROUP BY o.kind, o.name, a.grantee
    UNION ALL
    SELECT o.kind, o.name, 'is not one of Reeve''s', format('DROP ROUTINE %s', o.name)
    FROM object o JOIN pg_catalog.pg_proc p ON p.oid = o.oid
    WHERE o.is_function
      AND NOT (p.proname IN ('tenant_id', 'tenant_slug', 'login_tenant', 'login_tenant_slug')
               AND p.pronargs = 0)
      AND NOT (p.prosrc LIKE 'reeve\_guard\_%' AND p.probin LIKE '%reeve\_guard%'
               AND (p.proname IN ('arm', 'enter', 'leave', 'notify', 'listening_channels')
                    OR p.proname ~ '^(try_)?advisory_(xact_)?(un)?lock(_shared)?$'))
      AND NOT EXISTS (SELECT FROM pg_catalog.pg_depend d
                      JOIN pg_catalog.pg_extension e ON e.oid = d.refobjid
                      WHERE d.classid = 'pg_catalog.pg_proc'::pg_catalog.regclass
                        AND d.objid = p.oid AND d.deptype = 'e' AND e.extname = 'reeve_guard')
    UNION ALL
    SELECT 'ROUTINE', 'reeve.tenant_id()',
           CASE WHEN p.oid IS NULL THEN 'is not there: no session is anybody''s'
                ELSE 'does not look up the session''s role with a search_path of its own' END,
           'make it again as docs/audit.md shows'
    FROM (VALUES (true)) AS always(yes)
    LEFT JOIN pg_catalog.pg_proc p
      ON p.pronamespace = pg_catalog.to_regnamespace('reeve') AND p.proname = 'tenant_id'
     AND p.pronargs = 0
    LEFT JOIN pg_catalog.pg_language l ON l.oid = p.prolang
    WHERE pg_catalog.to_regnamespace('reeve') IS NOT NULL
      AND (p.oid IS NULL OR p.prorettype <> 'pg_catalog.int8'::pg_catalog.regtype
           OR p.provolatile = 'i'
           OR l.lanname NOT IN ('plpgsql', 'sql', 'c')
           OR l.lanname <> 'c'
              AND (position('session_user' IN lower(p.prosrc)) = 0 OR NOT p.prosecdef
                   OR NOT coalesce(p.proconfig, '{}')
                          && ARRAY['search_path=pg_catalog, pg_temp']))
)
SELECT lower(kind) || ' ' || name AS object, message, remedy, NULL AS subject, NULL AS severity
FROM finding
ORDER BY 1, 2
