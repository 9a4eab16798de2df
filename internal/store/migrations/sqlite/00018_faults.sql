-- +goose Up
-- What was found not to be as it was kept. Of each kind and place one is open.
CREATE TABLE faults (
    id         TEXT PRIMARY KEY,
    kind       TEXT NOT NULL,
    place      TEXT NOT NULL,
    what       TEXT NOT NULL,
    first_seen INTEGER NOT NULL,
    last_seen  INTEGER NOT NULL,
    closed_at  INTEGER
);
CREATE UNIQUE INDEX faults_open ON faults (place, kind) WHERE closed_at IS NULL;
CREATE INDEX faults_seen ON faults (first_seen, id);

-- How far the rolling scrub is, one row; see call.Scrub.
CREATE TABLE scrub (
    id          INTEGER PRIMARY KEY CHECK (id = 1),
    lease_token TEXT NOT NULL,
    lease_until INTEGER NOT NULL,
    began_at    INTEGER NOT NULL,
    part        TEXT NOT NULL,
    next        TEXT NOT NULL,
    done        INTEGER NOT NULL,
    total       INTEGER NOT NULL
);
