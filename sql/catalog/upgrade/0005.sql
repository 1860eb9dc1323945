-- Which Reeve this is: a server belongs to one (docs/decisions/0007-a-server-belongs-to-one-reeve.md).

CREATE TABLE reeve.installation (
    id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    one boolean NOT NULL DEFAULT true UNIQUE CHECK (one)
);
COMMENT ON TABLE reeve.installation IS 'this catalog''s own name, in the comment of role reeve_claim on each of its clusters';
INSERT INTO reeve.installation DEFAULT VALUES;
