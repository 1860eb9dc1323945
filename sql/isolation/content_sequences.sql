-- Sequences. $1 schema
SELECT sequencename FROM pg_catalog.pg_sequences WHERE schemaname = $1::text ORDER BY sequencename
