-- Whether a database has everything that this version of Reeve puts into it. $1 database, $2 mark
SELECT EXISTS (SELECT FROM pg_catalog.pg_database
               WHERE datname = $1::text::name AND datallowconn
                 AND pg_catalog.shobj_description(oid, 'pg_database') = $2)
