-- Moving: a placement's places have names of their own (docs/decisions/0011-how-a-tenant-moves.md).

ALTER TABLE reeve.placement
    ADD generation bigint NOT NULL DEFAULT 1
        CONSTRAINT placement_generation_counts CHECK (generation BETWEEN 1 AND 1000000);
COMMENT ON COLUMN reeve.placement.generation IS 'of its place: names of what is the placement''s own come from it';

-- Who serves, and what runs there no more: for whoever must know that a hold holds everywhere.

ALTER TABLE reeve.placement ADD hold bigint NOT NULL DEFAULT 0;
COMMENT ON COLUMN reeve.placement.hold IS 'how often it was held: the number of its last hold';
CREATE INDEX placement_held ON reeve.placement (held_until) WHERE held_until IS NOT NULL;

CREATE TABLE reeve.proxy (
    id integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    name text NOT NULL,
    started_at timestamptz NOT NULL DEFAULT now(),
    seen_at timestamptz NOT NULL DEFAULT now()
);
COMMENT ON TABLE reeve.proxy IS 'each reeve serve; while it can reach this database it has the advisory lock (1919247478, id)';

CREATE FUNCTION reeve.proxy_connected(proxy integer) RETURNS boolean
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $$
    SELECT EXISTS (SELECT FROM pg_locks
                   WHERE locktype = 'advisory' AND granted AND classid = 1919247478 AND objsubid = 2
                     AND objid = proxy::oid
                     AND database = (SELECT oid FROM pg_database WHERE datname = current_database()))
$$;

CREATE TABLE reeve.hold_drained (
    placement_id bigint CONSTRAINT hold_drained_placement_fkey REFERENCES reeve.placement ON DELETE CASCADE,
    proxy_id integer CONSTRAINT hold_drained_proxy_fkey REFERENCES reeve.proxy ON DELETE CASCADE,
    hold bigint NOT NULL,
    PRIMARY KEY (placement_id, proxy_id)
);
CREATE INDEX hold_drained_proxy ON reeve.hold_drained (proxy_id);
COMMENT ON TABLE reeve.hold_drained IS 'since this hold nothing of the placement runs in that proxy';
