-- $1 tables that row-level security keeps apart
SELECT format('%I.%I', n.nspname, c.relname) AS object,
       'row-level security is not enabled: who may read the table reads every tenant''s rows'
         AS message,
       format('ALTER TABLE %I.%I ENABLE ROW LEVEL SECURITY', n.nspname, c.relname) AS remedy,
       n.nspname AS subject, NULL AS severity
FROM pg_catalog.pg_class c
JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
WHERE c.oid = ANY ($1::oid[]) AND NOT c.relrowsecurity
ORDER BY 1
