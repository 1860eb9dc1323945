-- Whether the server has that database, and its owner is somebody else. $1 database, $2 owner role
SELECT EXISTS (SELECT FROM pg_catalog.pg_database d
               WHERE d.datname = $1::text::name
                 AND pg_catalog.pg_get_userbyid(d.datdba) <> $2::text::name)
