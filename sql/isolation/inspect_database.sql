-- What the shared database has of a placement, but for rows: (line).
-- $1 role, $2 read-only role, $3 schema of its own
SELECT 'schema ' || nspname || ' in database ' || current_database() AS line
FROM pg_catalog.pg_namespace WHERE nspname = $3::text::name
UNION ALL
SELECT 'tenant of role ' || role_name || ' in database ' || current_database()
FROM reeve.role_tenant WHERE role_name = ANY (ARRAY[$1, $2]::text[]::name[])
UNION ALL
SELECT 'ledger of ' || target || ' in database ' || current_database()
FROM reeve.migration WHERE target = $3::text::name GROUP BY target
ORDER BY 1
