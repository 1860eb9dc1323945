-- Whether a tenant can have anything in a shared database: it is there, the service's, and was made to its end
-- or takes connections. $1 database, $2 owner role
SELECT EXISTS (SELECT FROM pg_catalog.pg_database d
               WHERE d.datname = $1::text::name AND pg_catalog.pg_get_userbyid(d.datdba) = $2::text::name
                 AND (d.datallowconn OR pg_catalog.shobj_description(d.oid, 'pg_database') IS NOT NULL))
