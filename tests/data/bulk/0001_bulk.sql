-- What bench-large moves: `outgoing` is read, `incoming` is written to and emptied.
CREATE TABLE outgoing (payload text NOT NULL);
CREATE TABLE incoming (payload text NOT NULL);
