-- A bank in a nutshell, with what a move has to take along: keys of every kind, types of the service's
-- own, computed columns, a trigger, a table without a key.
CREATE TYPE mood AS ENUM ('calm', 'cross');

CREATE TABLE account (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    owner text NOT NULL UNIQUE,
    balance numeric(12, 2) NOT NULL CHECK (balance >= 0),
    mood mood NOT NULL DEFAULT 'calm',
    tags text[] NOT NULL DEFAULT '{}',
    doc jsonb,
    photo bytea,
    seen timestamptz NOT NULL DEFAULT now(),
    span interval,
    share double precision,
    doubled numeric GENERATED ALWAYS AS (balance * 2) STORED
);

CREATE TABLE ledger (
    id bigserial PRIMARY KEY,
    account_id bigint NOT NULL REFERENCES account,
    amount numeric(12, 2) NOT NULL,
    note text NOT NULL
);
CREATE INDEX ledger_account ON ledger (account_id);

CREATE TABLE node (
    id integer PRIMARY KEY,
    parent integer REFERENCES node,
    name text NOT NULL
);

CREATE TABLE visit (
    at timestamptz NOT NULL DEFAULT now(),
    path text
);

CREATE TABLE tally (
    id integer PRIMARY KEY,
    entries bigint NOT NULL
);

CREATE FUNCTION count_entry() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    UPDATE tally SET entries = entries + 1 WHERE id = 1;
    RETURN NULL;
END $$;
CREATE TRIGGER ledger_counts AFTER INSERT ON ledger FOR EACH ROW EXECUTE FUNCTION count_entry();

-- Whoever writes a row, it is with no more rights than the service's own.
CREATE FUNCTION is_ordinary() RETURNS boolean LANGUAGE plpgsql AS $$
BEGIN
    RETURN NOT (SELECT rolsuper OR rolcreaterole FROM pg_catalog.pg_roles WHERE rolname = session_user);
END $$;
ALTER TABLE node ADD CONSTRAINT node_is_ordinary CHECK (is_ordinary());

CREATE TABLE country (
    code text PRIMARY KEY,
    title text NOT NULL
);
COMMENT ON TABLE country IS '@reeve:shared the same for all';
INSERT INTO country VALUES ('at', 'Austria'), ('nz', 'New Zealand');
