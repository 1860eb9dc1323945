-- Extensions that are not the same here: (name, version there, version that is or would be here; NULL: it
-- cannot be had). What is installed counts in the database where the tenant will be, not in one that stands for it.
-- $1 names there, $2 versions there, $3 that database
SELECT u.name, u.version, coalesce(e.extversion, a.default_version)
FROM unnest($1::text[], $2::text[]) AS u(name, version)
LEFT JOIN pg_catalog.pg_available_extensions a ON a.name = u.name
LEFT JOIN pg_catalog.pg_extension e ON e.extname = u.name AND pg_catalog.current_database() = $3::text
WHERE (a.name IS NULL AND e.extname IS NULL) OR coalesce(e.extversion, a.default_version) <> u.version
ORDER BY u.name
