-- Views and rules that run with the rights of their owner, for whom other policies hold.
-- $1 targets, $2 relations of the targets
WITH relation AS (
    SELECT c.oid, c.relname, c.relkind, c.reloptions, n.nspname, t.row_security
    FROM jsonb_to_recordset($1::jsonb) AS t(schema text, shaped boolean, row_security boolean)
    JOIN pg_catalog.pg_namespace n ON n.nspname = t.schema::name
    JOIN pg_catalog.pg_class c ON c.relnamespace = n.oid AND c.oid = ANY ($2::oid[])
    WHERE t.shaped OR t.row_security
)
SELECT format('view %I.%I', nspname, relname) AS object,
       'runs with its owner''s rights, which see every tenant''s rows' AS message,
       format('ALTER VIEW %I.%I SET (security_invoker = true)', nspname, relname) AS remedy,
       nspname AS subject, CASE WHEN row_security THEN NULL ELSE 'warning' END AS severity
FROM relation
WHERE relkind = 'v'
  AND NOT coalesce(reloptions, '{}') && ARRAY['security_invoker=true', 'security_invoker=on',
                                              'security_invoker=1', 'security_invoker=yes']
UNION ALL
SELECT format('rule %I on %I.%I', w.rulename, r.nspname, r.relname),
       'runs with the rights of the table''s owner, which see every tenant''s rows',
       format('DROP RULE %I ON %I.%I', w.rulename, r.nspname, r.relname),
       r.nspname, CASE WHEN r.row_security THEN NULL ELSE 'warning' END
FROM relation r
JOIN pg_catalog.pg_rewrite w ON w.ev_class = r.oid AND w.ev_type <> '1'
ORDER BY 1
