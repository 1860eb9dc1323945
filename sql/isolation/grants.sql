-- Privileges of a target's roles on everything in its schema, from nothing: (ddl). Tenants get
-- DML, shared reference tables are for reading, and whatever a migration granted is taken back.
-- $1 schema, $2 role that reads and writes or '', $3 role that reads or ''
WITH space AS (
    SELECT oid, nspowner FROM pg_catalog.pg_namespace WHERE nspname = $1::text
), relation AS (
    SELECT c.oid, c.relname, c.relkind, c.relacl, c.relowner,
           c.relkind = 'r'
           AND coalesce(pg_catalog.obj_description(c.oid, 'pg_class'), '') ~ '^@reeve:shared'
             AS shared
    FROM pg_catalog.pg_class c
    WHERE c.relnamespace = (SELECT oid FROM space) AND c.relkind IN ('r', 'v', 'm', 'p', 'f', 'S')
), grantee(name) AS (
    SELECT quote_ident(name) FROM unnest(ARRAY[$2::text, $3::text]) AS wanted(name) WHERE name <> ''
), granted(list) AS (
    SELECT concat_ws(', ', 'PUBLIC', string_agg(name, ', ')) FROM grantee
)
SELECT 1 AS position, format('REVOKE ALL ON %s %I.%I FROM %s',
              CASE r.relkind WHEN 'S' THEN 'SEQUENCE' ELSE 'TABLE' END, $1::text, r.relname,
              CASE a.grantee WHEN 0 THEN 'PUBLIC'
              ELSE quote_ident(pg_catalog.pg_get_userbyid(a.grantee)) END) AS ddl
FROM relation r CROSS JOIN pg_catalog.aclexplode(r.relacl) a
WHERE a.grantee <> r.relowner
UNION
SELECT 1, format('REVOKE ALL ON SCHEMA %I FROM %s', $1::text, list) FROM granted
UNION
SELECT 1, format('REVOKE ALL ON ALL ROUTINES IN SCHEMA %I FROM %s', $1::text, list) FROM granted
UNION
SELECT 2, format('GRANT USAGE ON SCHEMA %I TO %s', $1::text, name) FROM grantee
UNION
SELECT 2, format('GRANT EXECUTE ON ALL ROUTINES IN SCHEMA %I TO %s', $1::text, name) FROM grantee
UNION
SELECT 2, format('GRANT SELECT ON ALL TABLES IN SCHEMA %I TO %s', $1::text, name) FROM grantee
UNION
SELECT 2, format('GRANT USAGE, SELECT ON ALL SEQUENCES IN SCHEMA %I TO %I', $1::text, $2::text)
WHERE $2::text <> ''
UNION
SELECT 3, format('GRANT INSERT, UPDATE, DELETE ON %I.%I TO %I', $1::text, relname, $2::text)
FROM relation
WHERE $2::text <> '' AND relkind IN ('r', 'v', 'p', 'f') AND NOT shared
ORDER BY 1, 2
