-- Extensions that are not the same here: (name, version there, version that is or would be here; NULL: it
-- cannot be had). $1 names there, $2 versions there
SELECT u.name, u.version, coalesce(e.extversion, a.default_version)
FROM unnest($1::text[], $2::text[]) AS u(name, version)
LEFT JOIN pg_catalog.pg_available_extensions a ON a.name = u.name
LEFT JOIN pg_catalog.pg_extension e ON e.extname = u.name
WHERE coalesce(e.extversion, a.default_version) IS DISTINCT FROM u.version
ORDER BY u.name
