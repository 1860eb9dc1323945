-- What the tables of schemas take, with their indexes and long values: (index in $1 from 0, bytes).
-- $1 schemas
SELECT s.position - 1, coalesce(sum(pg_catalog.pg_total_relation_size(c.oid)), 0)::bigint
FROM unnest($1::text[]) WITH ORDINALITY AS s(name, position)
JOIN pg_catalog.pg_namespace n ON n.nspname = s.name
LEFT JOIN pg_catalog.pg_class c ON c.relnamespace = n.oid AND c.relkind IN ('r', 'm')
GROUP BY s.position
