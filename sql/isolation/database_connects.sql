-- Whether there is such a database, and it takes connections. $1 database
SELECT d.datallowconn FROM pg_catalog.pg_database d WHERE d.datname = $1::text::name
