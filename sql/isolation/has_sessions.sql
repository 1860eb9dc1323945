-- Whether anybody is logged in as one of two roles; waits a tenth of a second first. $1, $2 roles
SELECT EXISTS (SELECT FROM pg_catalog.pg_stat_activity
               WHERE usename = ANY (ARRAY[$1, $2]::text[]::name[]))
FROM (SELECT pg_catalog.pg_sleep(0.1)) AS waited
