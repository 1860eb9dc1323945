-- Why this server cannot tell of its changes: (what, remedy).
SELECT format('wal_level is %s', current_setting('wal_level')) AS what,
       'set wal_level = logical and restart the server; or move with --offline' AS remedy
WHERE current_setting('wal_level') <> 'logical'
UNION ALL
SELECT format('role "%s" may not replicate', current_user), format('ALTER ROLE %I REPLICATION', current_user)
FROM pg_catalog.pg_roles
WHERE rolname = current_user AND NOT rolsuper AND NOT rolreplication
