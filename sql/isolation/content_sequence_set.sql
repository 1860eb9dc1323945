-- Sequences go on where others are: (name, null: there is no such sequence). One that tenants share never
-- goes back: it is set only where it is behind, and then further than they can come meanwhile.
-- $1 schema, $2 names, $3 their numbers, $4 whether each was given out, $5 whether tenants share them,
-- $6 numbers to leave out then (a tenth of those that are left, if that is less)
SELECT u.name,
       CASE WHEN s.sequencename IS NULL THEN NULL
       WHEN NOT $5::boolean THEN pg_catalog.setval(
           format('%I.%I', $1::text, u.name)::regclass,
           least(greatest(u.number, s.min_value), s.max_value), u.called)
       WHEN CASE WHEN s.increment_by > 0 THEN l.last > coalesce(s.last_value, s.min_value - 1)
            ELSE l.last < coalesce(s.last_value, s.max_value + 1) END THEN pg_catalog.setval(
           format('%I.%I', $1::text, u.name)::regclass,
           (l.last + s.increment_by * least($6::bigint, l.numbers / 10))::bigint)
       ELSE 0 END
FROM unnest($2::text[], $3::bigint[], $4::boolean[]) AS u(name, number, called)
LEFT JOIN pg_catalog.pg_sequences s ON s.schemaname = $1::text AND s.sequencename = u.name
CROSS JOIN LATERAL (SELECT CASE WHEN u.called THEN u.number ELSE u.number - s.increment_by END AS last) f
CROSS JOIN LATERAL (
    SELECT f.last, greatest(0, trunc((CASE WHEN s.increment_by > 0 THEN s.max_value ELSE s.min_value END::numeric
                                      - f.last) / s.increment_by)) AS numbers) l
