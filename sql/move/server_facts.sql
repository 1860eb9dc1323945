-- What a server has left: (replication slots, WAL senders, connections; bytes of WAL that a slot may keep, -1: no bound).
SELECT current_setting('max_replication_slots')::bigint
           - (SELECT count(*) FROM pg_catalog.pg_replication_slots),
       current_setting('max_wal_senders')::bigint - (SELECT count(*) FROM pg_catalog.pg_stat_replication),
       current_setting('max_connections')::bigint - current_setting('superuser_reserved_connections')::bigint
           - coalesce(current_setting('reserved_connections', true), '0')::bigint
           - (SELECT count(*) FROM pg_catalog.pg_stat_activity a
              WHERE a.datid IS NOT NULL AND a.pid NOT IN (SELECT pid FROM pg_catalog.pg_stat_replication)),
       (SELECT CASE WHEN setting::bigint < 0 THEN -1 ELSE setting::bigint << 20 END
        FROM pg_catalog.pg_settings WHERE name = 'max_slot_wal_keep_size')
