-- Whether a migration was ever applied in this database. Asked of the file's size, as nothing in a database that
-- may be anybody's is to be run.
SELECT EXISTS (SELECT FROM pg_catalog.pg_class c
               JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
               WHERE n.nspname = 'reeve' AND c.relname = 'migration' AND pg_catalog.pg_relation_size(c.oid) > 0)
