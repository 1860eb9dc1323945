-- Whether somebody else is at work on this server, or was within the last two seconds: (boolean). What a
-- session does may be hidden from the administrator; such a one counts.
SELECT EXISTS (SELECT FROM pg_catalog.pg_stat_activity a
               WHERE a.pid <> pg_catalog.pg_backend_pid() AND a.usesysid IS NOT NULL
                 AND coalesce(a.backend_type, 'client backend') = 'client backend'
                 AND coalesce(a.application_name, '') !~ '^reeve($| )'
                 AND (coalesce(a.state, '') <> 'idle'
                      OR a.state_change > pg_catalog.clock_timestamp() - interval '2 s'))
