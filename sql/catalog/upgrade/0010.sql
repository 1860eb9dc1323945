-- A service may have several shared databases on a cluster; a move tells between which.

ALTER TABLE reeve.service_database
    DROP CONSTRAINT service_database_kind_key,
    ADD CONSTRAINT service_database_own_key UNIQUE (service_id, cluster_id, kind, database);
CREATE UNIQUE INDEX service_database_template_key ON reeve.service_database (service_id, cluster_id)
    WHERE kind = 'template';

ALTER TABLE reeve.move
    ADD COLUMN from_database text,
    ADD COLUMN to_database text;
COMMENT ON COLUMN reeve.move.from_database IS 'null: a move that was begun by an older Reeve';
COMMENT ON COLUMN reeve.move.to_database IS 'likewise';
