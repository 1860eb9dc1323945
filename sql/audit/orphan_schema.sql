-- $1 schemas of all placements in this database
SELECT format('schema %I', nspname) AS object,
       'is named as a tenant''s, but no placement is there: data that belongs to nobody' AS message,
       format('make sure that nobody needs it, then DROP SCHEMA %I CASCADE', nspname) AS remedy,
       nspname AS subject, NULL AS severity
FROM pg_catalog.pg_namespace
WHERE nspname ~ '^t_[0-9]{6,}(_[0-9]+)?$' AND nspname <> ALL ($1::text[]::name[])
ORDER BY 1
