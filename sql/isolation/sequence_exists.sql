-- $1 schema, $2 name
SELECT EXISTS (SELECT FROM pg_catalog.pg_sequences WHERE schemaname = $1::text AND sequencename = $2::text)
