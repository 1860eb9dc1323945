-- $1 id, $2 conninfo (null: as it is), $3 server connections (null: as they are), $4 bytes of its disk (null: as
-- they are, 0: not known)
UPDATE reeve.cluster
SET conninfo = coalesce($2, conninfo), max_backends = coalesce($3::integer, max_backends),
    disk_bytes = CASE WHEN $4::bigint IS NULL THEN disk_bytes ELSE nullif($4::bigint, 0) END
WHERE id = $1
