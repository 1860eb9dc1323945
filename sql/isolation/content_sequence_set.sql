-- The sequence has given this number at least; one that other tenants have too never goes back.
-- $1 schema, $2 name, $3 the last number, $4 numbers to leave out behind it
SELECT pg_catalog.setval(
    format('%I.%I', $1::text, $2::text)::regclass,
    CASE WHEN s.increment_by > 0
         THEN least(s.max_value, greatest($3::bigint + $4::bigint * s.increment_by, s.last_value))
         ELSE greatest(s.min_value, least($3::bigint + $4::bigint * s.increment_by, s.last_value)) END)
FROM pg_catalog.pg_sequences s
WHERE s.schemaname = $1::text AND s.sequencename = $2::text
