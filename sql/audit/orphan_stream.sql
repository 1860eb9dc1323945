-- $1 streams of all open moves
SELECT format('%s %s', o.kind, o.name) AS object,
       'is named as a move''s, but no such move is open' AS message,
       format('DROP %s %s', upper(o.kind), o.name) AS remedy,
       o.plain AS subject, NULL AS severity
FROM (SELECT 'publication' AS kind, format('%I', pubname) AS name, pubname AS plain
      FROM pg_catalog.pg_publication
      UNION ALL
      SELECT 'table', format('reeve.%I', c.relname), c.relname
      FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
      WHERE n.nspname = 'reeve' AND c.relkind = 'r') o
WHERE o.plain ~ '^reeve_(move|back)_[0-9]+(_mark|_index)?$'
  AND regexp_replace(o.plain, '(_mark|_index)$', '') <> ALL ($1::text[])
ORDER BY 1
