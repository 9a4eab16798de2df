-- +goose Up
-- The segments of the journal in the vault. One without a hash is planned: its
-- bounds are fixed before it is put, so that whoever goes on after a crash puts
-- the same.
CREATE TABLE journal_segments (
    number           BIGINT PRIMARY KEY,
    previous         TEXT COLLATE "C" NOT NULL, -- SHA-256 of the one before, in hex
    at               BIGINT NOT NULL,
    deliveries_after BIGINT NOT NULL, -- after < id <= to
    deliveries_to    BIGINT NOT NULL,
    deliveries       BIGINT NOT NULL, -- how many
    entries_from     BIGINT NOT NULL, -- from <= seq < to
    entries_to       BIGINT NOT NULL,
    sha256           TEXT COLLATE "C" NOT NULL DEFAULT '',
    size             BIGINT NOT NULL DEFAULT 0
);

-- One row: who writes the journal, and whether this database is being made
-- again from one.
CREATE TABLE journal (
    id          BIGINT PRIMARY KEY CHECK (id = 1),
    lease_token TEXT COLLATE "C",
    lease_until BIGINT,
    rebuilding  BIGINT NOT NULL DEFAULT 0
);
INSERT INTO journal (id) VALUES (1);
