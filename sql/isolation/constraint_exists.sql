-- $1 schema, $2 constraint name
SELECT EXISTS (SELECT FROM pg_catalog.pg_constraint k
               JOIN pg_catalog.pg_namespace n ON n.oid = k.connamespace
               WHERE n.nspname = $1::text::name AND k.conname = $2::text::name)
