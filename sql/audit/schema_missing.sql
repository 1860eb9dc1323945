-- $1 schemas that placements in this database have
SELECT format('schema %I', wanted) AS object,
       'the catalog has a placement there, but the schema is not' AS message,
       'restore it from a backup, or detach the tenant from the service' AS remedy,
       wanted AS subject, NULL AS severity
FROM unnest($1::text[]) AS wanted
WHERE NOT EXISTS (SELECT FROM pg_catalog.pg_namespace WHERE nspname = wanted::name)
ORDER BY 1
