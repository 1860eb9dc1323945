-- Functions outside the services' schemas that run with their owner's rights and that tenants may
-- call; but for Reeve's own.
-- $1 schemas of the targets
SELECT format('function %I.%I(%s)', n.nspname, p.proname,
              pg_catalog.pg_get_function_identity_arguments(p.oid)) AS object,
       format('is SECURITY DEFINER: whoever calls it does so as "%s"',
              pg_catalog.pg_get_userbyid(p.proowner)) AS message,
       format('ALTER ROUTINE %I.%I(%s) SECURITY INVOKER, or REVOKE EXECUTE on it FROM PUBLIC',
              n.nspname, p.proname, pg_catalog.pg_get_function_identity_arguments(p.oid)) AS remedy,
       NULL AS subject, NULL AS severity
FROM pg_catalog.pg_proc p
JOIN pg_catalog.pg_namespace n ON n.oid = p.pronamespace
WHERE p.prosecdef AND n.nspname <> ALL ($1::text[]::name[])
  AND n.nspname !~ '^pg_(toast_)?temp_'
  AND NOT (n.nspname = 'reeve'
           AND p.proname IN ('tenant_id', 'tenant_slug', 'login_tenant', 'login_tenant_slug'))
  AND NOT EXISTS (SELECT FROM pg_catalog.pg_depend d
                  JOIN pg_catalog.pg_extension e ON e.oid = d.refobjid
                  WHERE d.classid = 'pg_catalog.pg_proc'::pg_catalog.regclass AND d.objid = p.oid
                    AND d.deptype = 'e' AND e.extname = 'reeve_guard')
  AND EXISTS (SELECT FROM pg_catalog.aclexplode(
                  coalesce(p.proacl, pg_catalog.acldefault('f', p.proowner))) a
              WHERE a.grantee = 0
                 OR a.grantee <> p.proowner
                    AND pg_catalog.pg_get_userbyid(a.grantee)
                        ~ '^(t_[0-9]{6,}(_[0-9]+)?(_ro)?|(own|run|use)_.+|reeve_pool)$')
ORDER BY 1
