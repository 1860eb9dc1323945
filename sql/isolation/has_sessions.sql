-- Whether anybody is logged in as one of two roles; if so, waits a while. $1, $2 roles, $3 seconds
SELECT CASE WHEN EXISTS (SELECT FROM pg_catalog.pg_stat_activity
                         WHERE usename = ANY (ARRAY[$1, $2]::text[]::name[]))
       THEN (SELECT true FROM pg_catalog.pg_sleep($3::float8)) ELSE false END
