-- $1 databases that there must be
SELECT format('database %I', wanted) AS object,
       CASE WHEN d.oid IS NULL THEN 'the catalog has it, but the server has not'
            ELSE 'takes no connections' END AS message,
       CASE WHEN d.oid IS NULL THEN 'restore it from a backup, or detach the tenant from the service'
            ELSE format('ALTER DATABASE %I ALLOW_CONNECTIONS true', wanted) END AS remedy,
       wanted AS subject, NULL AS severity
FROM unnest($1::text[]) AS wanted
LEFT JOIN pg_catalog.pg_database d ON d.datname = wanted::name
WHERE d.oid IS NULL OR NOT d.datallowconn
ORDER BY 1
