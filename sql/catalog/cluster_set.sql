-- $1 id, $2 conninfo, $3 server connections, $4 bytes of its disk (null: not known)
UPDATE reeve.cluster SET conninfo = $2, max_backends = $3, disk_bytes = $4 WHERE id = $1
