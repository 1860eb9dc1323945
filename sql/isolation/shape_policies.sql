-- Row-level security of shared tables: (report, ddl). Tenants see and write their own rows; the
-- owner role, which no tenant belongs to, sees all in migrations, or one tenant's where it says so
-- (reeve_owner.tenant), so that Reeve's own work on one tenant's rows cannot reach another's.
-- $1 schema, $2 owner role
WITH wanted(policy, role, expression) AS (
    VALUES ('reeve_tenant'::name, 0::oid,
            -- The guard's function costs nothing; the other one is asked once a query.
            CASE WHEN EXISTS (SELECT FROM pg_catalog.pg_proc p
                              JOIN pg_catalog.pg_language l ON l.oid = p.prolang
                              WHERE p.oid = 'reeve.tenant_id()'::regprocedure AND l.lanname = 'c')
            THEN '(tenant_id = reeve.tenant_id())'
            ELSE '(tenant_id = ( SELECT reeve.tenant_id() AS tenant_id))' END),
           ('reeve_owner', pg_catalog.to_regrole(quote_ident($2::text))::oid,
            'COALESCE((tenant_id = (NULLIF(current_setting(''reeve_owner.tenant''::text, true), '
            '''''::text))::bigint), true)')
), tenant_table AS (
    SELECT c.oid, c.relname, c.relrowsecurity AND c.relforcerowsecurity AS secured
    FROM pg_catalog.pg_class c
    JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
    WHERE n.nspname = $1::text AND c.relkind = 'r'
      AND coalesce(pg_catalog.obj_description(c.oid, 'pg_class'), '') !~ '^@reeve:shared'
)
SELECT format('table %s: row-level security enabled and forced', t.relname) AS report,
       format('ALTER TABLE %I.%I ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY', $1::text,
              t.relname) AS ddl,
       t.relname
FROM tenant_table t
WHERE NOT t.secured
UNION ALL
SELECT format('table %s: policy %s set', t.relname, w.policy),
       format('DROP POLICY IF EXISTS %I ON %I.%I; CREATE POLICY %I ON %I.%I TO %s USING (%s) '
              'WITH CHECK (%s)', w.policy, $1::text, t.relname, w.policy, $1::text, t.relname,
              CASE w.role WHEN 0 THEN 'PUBLIC' ELSE quote_ident($2::text) END, w.expression,
              w.expression),
       t.relname
FROM tenant_table t
CROSS JOIN wanted w
WHERE NOT EXISTS (SELECT FROM pg_catalog.pg_policy p
                  WHERE p.polrelid = t.oid AND p.polname = w.policy AND p.polcmd = '*'
                    AND p.polpermissive AND p.polroles = ARRAY[w.role]
                    AND pg_catalog.pg_get_expr(p.polqual, p.polrelid) = w.expression
                    AND pg_catalog.pg_get_expr(p.polwithcheck, p.polrelid) = w.expression)
ORDER BY 3, 1
