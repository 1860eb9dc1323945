-- Whether a table has columns that are GENERATED ALWAYS AS IDENTITY and no part of its primary key.
-- $1 schema, $2 table
SELECT EXISTS (
    SELECT FROM pg_catalog.pg_attribute a
    WHERE a.attrelid = format('%I.%I', $1::text, $2::text)::pg_catalog.regclass
      AND a.attidentity = 'a' AND NOT a.attisdropped
      AND NOT EXISTS (SELECT FROM pg_catalog.pg_index i
                      WHERE i.indrelid = a.attrelid AND i.indisprimary AND a.attnum = ANY (i.indkey)))
