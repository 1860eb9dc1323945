-- What an online move keeps, and for how long; how far it is.

ALTER TABLE reeve.move
    ADD COLUMN wal_limit bigint NOT NULL DEFAULT 0,
    ADD COLUMN keep_us bigint NOT NULL DEFAULT 0,
    ADD COLUMN version text,
    ADD COLUMN lag_bytes bigint,
    ADD COLUMN rows_total bigint NOT NULL DEFAULT 0,
    ADD COLUMN abandoned boolean NOT NULL DEFAULT false,
    ADD COLUMN phase_at timestamptz NOT NULL DEFAULT now();
COMMENT ON COLUMN reeve.move.wal_limit IS 'bytes of WAL that its slots may keep; 0: as many as the server lets them';
COMMENT ON COLUMN reeve.move.keep_us IS 'the old place is dropped so long after the flip; 0: when it is asked for';
COMMENT ON COLUMN reeve.move.version IS 'of the service''s migrations, for which its streams are';
COMMENT ON COLUMN reeve.move.lag_bytes IS 'WAL of the place that the tenant is at which was not applied at the other one';
COMMENT ON COLUMN reeve.move.abandoned IS 'its other place''s server is gone for good: nobody asks it';
COMMENT ON COLUMN reeve.move.phase_at IS 'when it came into its phase';

ALTER TABLE reeve.placement ADD hold_ends_at timestamptz;
COMMENT ON COLUMN reeve.placement.hold_ends_at IS
    'what runs of it in a proxy is ended then, if it is still held; null: nothing is';
