-- What making a slot would wait for: (what, remedy). Seconds from which on it is worth telling: $1
(SELECT format('a transaction of role %I in database %I has been open for %s s (process %s): making a slot '
               'waits for its end', coalesce(a.usename, ''), coalesce(a.datname, ''),
               extract(epoch FROM clock_timestamp() - a.xact_start)::bigint, a.pid) AS what,
        format('SELECT pg_terminate_backend(%s)', a.pid) AS remedy
 FROM pg_catalog.pg_stat_activity a
 WHERE a.backend_xid IS NOT NULL AND a.pid <> pg_catalog.pg_backend_pid()
   AND a.xact_start < clock_timestamp() - $1::text::double precision * interval '1 second'
 ORDER BY a.xact_start LIMIT 3)
UNION ALL
(SELECT format('transaction %L of database %I was prepared %s s ago: making a slot waits for its end', x.gid,
               x.database, extract(epoch FROM clock_timestamp() - x.prepared)::bigint),
        'COMMIT PREPARED or ROLLBACK PREPARED'
 FROM pg_catalog.pg_prepared_xacts x
 WHERE x.prepared < clock_timestamp() - $1::text::double precision * interval '1 second'
 ORDER BY x.prepared LIMIT 3)
