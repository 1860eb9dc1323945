-- What the other end must have too: (encoding, collation, character types, whose locales, locale of those,
-- extensions and their versions); what should be known: (version of the collation, major version of the
-- server). Columns of pg_database have other names in other versions.
SELECT pg_catalog.pg_encoding_to_char(encoding), datcollate, datctype,
       CASE f.fact ->> 'datlocprovider' WHEN 'i' THEN 'icu' WHEN 'b' THEN 'builtin' ELSE 'libc' END,
       coalesce(f.fact ->> 'datlocale', f.fact ->> 'daticulocale', 'none'),
       ARRAY(SELECT extname::text FROM pg_catalog.pg_extension
             WHERE extname NOT IN ('plpgsql', 'reeve_guard') ORDER BY extname),
       ARRAY(SELECT extversion FROM pg_catalog.pg_extension
             WHERE extname NOT IN ('plpgsql', 'reeve_guard') ORDER BY extname),
       coalesce(f.fact ->> 'datcollversion', 'not told'),
       pg_catalog.current_setting('server_version_num')::integer / 10000
FROM pg_catalog.pg_database d, pg_catalog.to_jsonb(d) f(fact)
WHERE datname = pg_catalog.current_database()
