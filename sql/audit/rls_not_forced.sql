-- $1 tables that row-level security keeps apart
SELECT format('%I.%I', n.nspname, c.relname) AS object,
       'row-level security is not forced: it does not hold for the owner, nor for its functions and '
       'views' AS message,
       format('ALTER TABLE %I.%I FORCE ROW LEVEL SECURITY', n.nspname, c.relname) AS remedy,
       n.nspname AS subject, NULL AS severity
FROM pg_catalog.pg_class c
JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
WHERE c.oid = ANY ($1::oid[]) AND NOT c.relforcerowsecurity
ORDER BY 1
