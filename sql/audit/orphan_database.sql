-- $1 databases of all placements and services on this cluster, $2 owner roles
SELECT format('database %I', datname) AS object,
       'is named as one of Reeve''s, or owned by a service, but nothing in the catalog is there' AS message,
       format('make sure that nobody needs it, then DROP DATABASE %I', datname) AS remedy,
       datname AS subject, NULL AS severity
FROM pg_catalog.pg_database
WHERE (datname ~ '^(d_[0-9]{6,}(_[0-9]+)?|(svc|tpl)_.+)$'
       OR pg_catalog.pg_get_userbyid(datdba) = ANY ($2::text[]::name[]))
  AND datname <> ALL ($1::text[]::name[])
ORDER BY 1
