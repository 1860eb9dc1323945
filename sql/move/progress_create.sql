-- How far change streams of moves were applied here.
CREATE TABLE IF NOT EXISTS reeve.move_progress (
    move_id bigint PRIMARY KEY,
    lsn pg_lsn NOT NULL
)
