-- Those that nobody has heard of for a while, and that are not connected.
DELETE FROM reeve.proxy x
WHERE x.seen_at < now() - interval '1 hour'
  AND NOT EXISTS (SELECT FROM pg_catalog.pg_locks l
                  WHERE l.locktype = 'advisory' AND l.classid = 1919247478 AND l.objsubid = 2
                    AND l.objid = x.id::oid AND l.granted
                    AND l.database = (SELECT oid FROM pg_catalog.pg_database
                                      WHERE datname = current_database()))
