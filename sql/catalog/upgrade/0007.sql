-- Moves: a placement's other place, and how far the move is
-- (docs/decisions/0011-how-a-tenant-moves.md).

CREATE TABLE reeve.move (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    placement_id bigint NOT NULL CONSTRAINT move_placement_fkey REFERENCES reeve.placement ON DELETE CASCADE,
    phase text NOT NULL DEFAULT 'preparing'
        CONSTRAINT move_phase_known CHECK (phase IN
            ('preparing', 'copying', 'catching up', 'cutting over', 'verifying', 'moved', 'finishing',
             'reverting', 'aborting', 'finished', 'reverted', 'aborted')),
    offline boolean NOT NULL,
    flipped boolean NOT NULL DEFAULT false,
    stop_wanted boolean NOT NULL DEFAULT false,
    -- For people, and when the place itself is gone.
    from_isolation reeve.isolation NOT NULL,
    from_cluster text NOT NULL,
    to_isolation reeve.isolation NOT NULL,
    to_cluster text NOT NULL,
    -- The place where the placement is not: the new one, and once it is flipped the old one. Nulls when
    -- there is none any more.
    generation bigint NOT NULL,
    cluster_id bigint CONSTRAINT move_cluster_fkey REFERENCES reeve.cluster,
    isolation reeve.isolation NOT NULL,
    database reeve.identifier NOT NULL,
    schema reeve.identifier NOT NULL,
    role reeve.identifier NOT NULL,
    role_password bytea CHECK (octet_length(role_password) <= 128),
    ro_role reeve.identifier,
    ro_password bytea CHECK (octet_length(ro_password) <= 128),
    enforcement text NOT NULL CHECK (enforcement IN ('guard', 'login')),
    enter_role reeve.identifier,
    enter_ro_role reeve.identifier,
    -- What was done.
    tables integer NOT NULL DEFAULT 0,
    bytes_total bigint NOT NULL DEFAULT 0,
    bytes_done bigint NOT NULL DEFAULT 0,
    rows_done bigint NOT NULL DEFAULT 0,
    held_at timestamptz,
    released_at timestamptz,
    started_at timestamptz NOT NULL DEFAULT now(),
    ended_at timestamptz,
    error text,
    CONSTRAINT move_open_has_place
        CHECK ((phase IN ('finished', 'reverted', 'aborted')) = (cluster_id IS NULL)
               AND (cluster_id IS NULL) = (role_password IS NULL))
);
CREATE UNIQUE INDEX move_open_key ON reeve.move (placement_id)
    WHERE phase NOT IN ('finished', 'reverted', 'aborted');
CREATE UNIQUE INDEX move_generation_key ON reeve.move (placement_id, generation);
CREATE INDEX move_cluster ON reeve.move (cluster_id);
COMMENT ON TABLE reeve.move IS 'a placement that has two places, or had';
COMMENT ON COLUMN reeve.move.bytes_total IS 'of tables at the source, as COPY may have them: an estimate';
COMMENT ON COLUMN reeve.move.held_at IS 'since then the tenant''s new transactions waited, until released_at';
