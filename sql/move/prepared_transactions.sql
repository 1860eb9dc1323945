-- Prepared transactions of two roles in a database: how many. $1 database, $2, $3 roles
SELECT count(*)
FROM pg_catalog.pg_prepared_xacts
WHERE database = $1::text::name AND owner = ANY (ARRAY[$2, $3]::text[]::name[])
