-- Sequences that have given a number: (name, the last).
-- $1 schema
SELECT sequencename, last_value
FROM pg_catalog.pg_sequences
WHERE schemaname = $1::text AND last_value IS NOT NULL
ORDER BY sequencename
