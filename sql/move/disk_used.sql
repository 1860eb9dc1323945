-- Bytes of the databases that the administrator may look at, and of the WAL that the server keeps ready.
SELECT coalesce((SELECT sum(pg_catalog.pg_database_size(d.oid)) FROM pg_catalog.pg_database d
                 WHERE pg_catalog.has_database_privilege(d.oid, 'CONNECT')
                    OR pg_catalog.pg_has_role(current_user, 'pg_read_all_stats', 'USAGE')), 0)::bigint,
       (SELECT setting::bigint << 20 FROM pg_catalog.pg_settings WHERE name = 'max_wal_size')
