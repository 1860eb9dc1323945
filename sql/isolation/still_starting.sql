-- Whether one of them is not told of as anybody's session: it logs in, and may have looked at its role
-- before that was closed. If so, waits a while. $1 of isolation/starting
SELECT CASE WHEN EXISTS (SELECT FROM unnest($1::text::integer[]) AS u(pid)
                         WHERE NOT EXISTS (SELECT FROM pg_catalog.pg_stat_activity a
                                           WHERE a.pid = u.pid AND (a.usesysid IS NOT NULL
                                                                    OR a.backend_type <> 'client backend'))
                           AND EXISTS (SELECT FROM pg_catalog.pg_locks l WHERE l.pid = u.pid))
       THEN (SELECT true FROM pg_catalog.pg_sleep(0.05)) ELSE false END
