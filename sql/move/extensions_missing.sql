-- Extensions that this server cannot have: (name). $1 names
SELECT name FROM unnest($1::text[]) AS u(name)
WHERE NOT EXISTS (SELECT FROM pg_catalog.pg_available_extensions a WHERE a.name = u.name)
ORDER BY name
