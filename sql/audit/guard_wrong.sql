-- In a database whose tenants are entered by the guard: its functions are the library's, the proxy's
-- role can log in, connect and call them, and nobody else can call them. Calls one of them: where the
-- server cannot load the library, this check fails, and that is a finding as well.
-- $1 the proxy's role; none: nobody is entered here
WITH pool(name) AS (
    SELECT unnest($1::text[])
), wanted(name, source, is_the_proxys) AS (
    VALUES ('reeve.arm(bytea)', 'reeve_guard_arm', true),
           ('reeve.enter(bytea,bigint,integer,bytea)', 'reeve_guard_enter', true),
           ('reeve.leave(bytea)', 'reeve_guard_leave', true),
           ('reeve.tenant_id()', 'reeve_guard_tenant_id', false),
           ('reeve.tenant_slug()', 'reeve_guard_tenant_slug', false)
), found AS (
    SELECT w.*, p.oid, p.proowner, p.proacl, p.probin,
           coalesce(p.prosrc = w.source AND l.lanname = 'c' AND NOT p.prosecdef, false) AS good
    FROM wanted w
    LEFT JOIN pg_catalog.pg_proc p ON p.oid = pg_catalog.to_regprocedure(w.name)
    LEFT JOIN pg_catalog.pg_language l ON l.oid = p.prolang
), administrator(answer) AS (
    SELECT CASE WHEN f.good
           THEN pg_catalog.query_to_xml('SELECT reeve.tenant_id()', false, false, '')::text END
    FROM found f CROSS JOIN pool WHERE f.name = 'reeve.tenant_id()'
), finding(object, message, remedy) AS (
    SELECT 'routine ' || f.name,
           CASE WHEN f.oid IS NULL THEN 'is not there: no tenant can be entered'
                ELSE 'is not the guard''s' END,
           '"reeve cluster enforce CLUSTER guard" makes it anew'
    FROM found f WHERE NOT f.good
    UNION ALL
    SELECT 'routine ' || min(f.name), 'is of another library than the guard''s other functions',
           '"reeve cluster enforce CLUSTER guard" makes it anew'
    FROM found f WHERE f.good HAVING count(DISTINCT f.probin) > 1
    UNION ALL
    SELECT 'routine reeve.tenant_id()', 'says that the administrator is a tenant',
           '"reeve cluster enforce CLUSTER guard" makes it anew'
    FROM administrator WHERE answer LIKE '%<tenant_id>%'
    UNION ALL
    SELECT 'routine ' || f.name,
           format('%s may call it', CASE a.grantee WHEN 0 THEN 'PUBLIC'
                  ELSE format('role "%s"', pg_catalog.pg_get_userbyid(a.grantee)) END),
           format('REVOKE EXECUTE ON FUNCTION %s FROM %s', f.name, CASE a.grantee WHEN 0 THEN 'PUBLIC'
                  ELSE quote_ident(pg_catalog.pg_get_userbyid(a.grantee)) END)
    FROM found f
    CROSS JOIN LATERAL pg_catalog.aclexplode(
        coalesce(f.proacl, pg_catalog.acldefault('f', f.proowner))) a
    WHERE f.is_the_proxys AND a.grantee <> f.proowner
      AND (a.grantee = 0 OR pg_catalog.pg_get_userbyid(a.grantee) NOT IN (SELECT name FROM pool))
    UNION ALL
    SELECT format('role %I', pool.name),
           CASE WHEN r.oid IS NULL THEN 'is not there: nobody can enter tenants'
                WHEN NOT r.rolcanlogin THEN 'may not log in: nobody can enter tenants'
                ELSE 'may not connect: nobody can enter tenants' END,
           CASE WHEN r.oid IS NULL THEN '"reeve cluster enforce CLUSTER guard" makes it anew'
                WHEN NOT r.rolcanlogin THEN format('ALTER ROLE %I LOGIN', pool.name)
                ELSE format('GRANT CONNECT ON DATABASE %I TO %I', current_database(), pool.name) END
    FROM pool LEFT JOIN pg_catalog.pg_roles r ON r.rolname = pool.name::name
    WHERE r.oid IS NULL OR NOT r.rolcanlogin
       OR NOT pg_catalog.has_database_privilege(r.oid, current_database(), 'CONNECT')
    UNION ALL
    SELECT 'routine ' || f.name, format('role "%s" may not call it: no tenant can be entered', r.rolname),
           format('GRANT EXECUTE ON FUNCTION %s TO %I', f.name, r.rolname)
    FROM found f CROSS JOIN pool JOIN pg_catalog.pg_roles r ON r.rolname = pool.name::name
    WHERE f.is_the_proxys AND f.oid IS NOT NULL
      AND NOT pg_catalog.has_function_privilege(r.oid, f.oid, 'EXECUTE')
)
SELECT object, message, remedy, NULL AS subject, NULL AS severity
FROM finding
WHERE EXISTS (SELECT FROM pool)
ORDER BY 1, 2
