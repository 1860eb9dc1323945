-- The sequence has given this number at least. One that other tenants have too never goes back: it is
-- set only where it is behind, and then further than they can come meanwhile.
-- $1 schema, $2 name, $3 the last number, $4 numbers to leave out behind it
SELECT pg_catalog.setval(
    format('%I.%I', $1::text, $2::text)::regclass,
    CASE WHEN s.increment_by > 0 THEN least(s.max_value, $3::bigint + $4::bigint * s.increment_by)
         ELSE greatest(s.min_value, $3::bigint + $4::bigint * s.increment_by) END)
FROM pg_catalog.pg_sequences s
WHERE s.schemaname = $1::text AND s.sequencename = $2::text
  AND CASE WHEN s.increment_by > 0 THEN $3::bigint > coalesce(s.last_value, s.min_value - 1)
           ELSE $3::bigint < coalesce(s.last_value, s.max_value + 1) END
