-- Whether the administrator cannot end the sessions of two roles that there are. $1, $2 roles
SELECT NOT pg_catalog.pg_has_role(current_user, 'pg_signal_backend', 'USAGE')
       AND EXISTS (SELECT FROM pg_catalog.pg_roles
                   WHERE rolname = ANY (ARRAY[$1, $2]::text[]::name[])
                     AND NOT pg_catalog.pg_has_role(current_user, oid, 'USAGE'))
