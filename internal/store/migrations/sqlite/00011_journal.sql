-- +goose Up
-- The segments of the journal in the vault. One without a hash is planned: its
-- bounds are fixed before it is put, so that whoever goes on after a crash puts
-- the same.
CREATE TABLE journal_segments (
    number           INTEGER PRIMARY KEY,
    previous         TEXT NOT NULL, -- SHA-256 of the one before, in hex
    at               INTEGER NOT NULL,
    deliveries_after INTEGER NOT NULL, -- after < id <= to
    deliveries_to    INTEGER NOT NULL,
    deliveries       INTEGER NOT NULL, -- how many
    entries_from     INTEGER NOT NULL, -- from <= seq < to
    entries_to       INTEGER NOT NULL,
    sha256           TEXT NOT NULL DEFAULT '',
    size             INTEGER NOT NULL DEFAULT 0
);

-- One row: who writes the journal, and whether this database is being made
-- again from one.
CREATE TABLE journal (
    id          INTEGER PRIMARY KEY CHECK (id = 1),
    lease_token TEXT,
    lease_until INTEGER,
    rebuilding  INTEGER NOT NULL DEFAULT 0
);
INSERT INTO journal (id) VALUES (1);
