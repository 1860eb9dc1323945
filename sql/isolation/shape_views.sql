-- Views run with the rights of whoever asks, not of their owner: (report, ddl).
-- $1 schema
SELECT format('view %s: security_invoker set', c.relname) AS report,
       format('ALTER VIEW %I.%I SET (security_invoker = true)', $1::text, c.relname) AS ddl,
       c.relname
FROM pg_catalog.pg_class c
JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
WHERE n.nspname = $1::text AND c.relkind = 'v'
  AND NOT coalesce(c.reloptions, '{}') && ARRAY['security_invoker=true', 'security_invoker=on',
                                                'security_invoker=1', 'security_invoker=yes']
ORDER BY c.relname
