-- What the other end must have too: (encoding, collation, character types, extensions).
SELECT pg_catalog.pg_encoding_to_char(encoding), datcollate, datctype,
       ARRAY(SELECT extname::text FROM pg_catalog.pg_extension
             WHERE extname NOT IN ('plpgsql', 'reeve_guard') ORDER BY extname)
FROM pg_catalog.pg_database
WHERE datname = pg_catalog.current_database()
