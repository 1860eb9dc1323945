-- Whether the server has that database, or one of the roles. $1 database, $2 roles
SELECT EXISTS (SELECT FROM pg_catalog.pg_database d WHERE d.datname = $1::text::name)
    OR EXISTS (SELECT FROM pg_catalog.pg_roles r WHERE r.rolname = ANY ($2::text[]::name[]))
