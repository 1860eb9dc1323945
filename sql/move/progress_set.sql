-- $1 move, $2 LSN of the source
INSERT INTO reeve.move_progress (move_id, lsn) VALUES ($1::bigint, $2::pg_lsn)
ON CONFLICT (move_id) DO UPDATE SET lsn = excluded.lsn
