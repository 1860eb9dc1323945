-- How large a cluster's disk is, as somebody has said: a server does not tell.

ALTER TABLE reeve.cluster ADD COLUMN disk_bytes bigint CHECK (disk_bytes > 0);
COMMENT ON COLUMN reeve.cluster.disk_bytes IS 'size of the disk that the server''s data and WAL are on; null: nobody has said';
