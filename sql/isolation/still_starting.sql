-- Whether one of them is not told of among the sessions: it logs in, and may have looked at its role
-- before that was closed. If so, waits until it is told of. $1 of isolation/starting
SELECT CASE WHEN EXISTS (SELECT FROM unnest($1::text::integer[]) AS u(pid)
                         WHERE NOT EXISTS (SELECT FROM pg_catalog.pg_stat_activity a WHERE a.pid = u.pid)
                           AND EXISTS (SELECT FROM pg_catalog.pg_locks l WHERE l.pid = u.pid))
       THEN (SELECT true FROM pg_catalog.pg_sleep(0.1)) ELSE false END
