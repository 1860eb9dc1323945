-- $1 roles of all placements and services on this cluster
SELECT format('role %I', rolname) AS object,
       'is named as one of Reeve''s, but nothing in the catalog has it' AS message,
       format('DROP OWNED BY %I in every database, then DROP ROLE %I', rolname, rolname) AS remedy,
       rolname AS subject, NULL AS severity
FROM pg_catalog.pg_roles
WHERE rolname ~ '^(t_[0-9]{6,}(_[0-9]+)?(_ro)?|(own|run|use)_.+)$' AND rolname <> ALL ($1::text[]::name[])
ORDER BY 1
