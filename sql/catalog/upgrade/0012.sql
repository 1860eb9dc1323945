-- A move that is tried again lets its tenant wait more than once.

ALTER TABLE reeve.move
    ADD COLUMN pauses integer NOT NULL DEFAULT 0,
    ADD COLUMN longest_pause_us bigint NOT NULL DEFAULT 0;
COMMENT ON COLUMN reeve.move.pauses IS 'how often the tenant has waited and gone on: of a revert, since that began';
COMMENT ON COLUMN reeve.move.longest_pause_us IS 'the longest of these';

UPDATE reeve.move
SET pauses = 1, longest_pause_us = greatest(reeve.unix_us(released_at) - reeve.unix_us(held_at), 0)
WHERE held_at IS NOT NULL AND released_at IS NOT NULL;
