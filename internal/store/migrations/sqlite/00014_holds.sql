-- +goose Up
-- Legal holds. facts is call.Hold as JSON.
CREATE TABLE holds (
    id          TEXT PRIMARY KEY,
    name        TEXT NOT NULL UNIQUE,
    facts       TEXT NOT NULL,
    filled_at   INTEGER, -- when all calls were last compared with its filter
    released_at INTEGER,
    lifted      INTEGER NOT NULL DEFAULT 0 -- 1: released, and its objects are being looked at
) WITHOUT ROWID;

-- The calls that came under a hold. They stay when it is released.
CREATE TABLE hold_calls (
    hold_id TEXT NOT NULL,
    call_id TEXT NOT NULL,
    since   INTEGER NOT NULL,
    PRIMARY KEY (hold_id, call_id)
) WITHOUT ROWID;
CREATE INDEX hold_calls_call ON hold_calls (call_id);

-- Recordings whose object has, or is to have, the store's own legal hold.
-- pushed_at is NULL while the object may not be as it should.
CREATE TABLE held_recordings (
    recording_id TEXT PRIMARY KEY,
    pushed_at    INTEGER
) WITHOUT ROWID;
CREATE INDEX held_recordings_due ON held_recordings (recording_id) WHERE pushed_at IS NULL;

-- Up to which delivery calls were compared with the holds. What has a greater
-- id than seen_id was stored after seen_at; a smaller one may have been
-- committed later, for a while. NULL: no hold waits for calls.
CREATE TABLE hold_follow (
    id          INTEGER PRIMARY KEY CHECK (id = 1),
    delivery_id INTEGER,
    seen_id     INTEGER,
    seen_at     INTEGER,
    lease_until INTEGER NOT NULL DEFAULT 0
);
INSERT INTO hold_follow (id) VALUES (1);

-- Erasures of a person's number. number is emptied when all that holds it has
-- been found; number_hash is keyed with what is not in the database.
CREATE TABLE erasures (
    id           TEXT PRIMARY KEY,
    number_hash  TEXT NOT NULL,
    number       TEXT NOT NULL,
    reason       TEXT NOT NULL,
    asked_at     INTEGER NOT NULL,
    asked_by     TEXT NOT NULL,
    scanned      INTEGER NOT NULL DEFAULT 0, -- the last delivery looked through
    found_at     INTEGER,                    -- when all had been
    next_at      INTEGER,                    -- when it goes on; while leased, when the lease ends; NULL: it is done
    lease_token  TEXT,
    finished_at  INTEGER,
    certificate  TEXT NOT NULL DEFAULT '',   -- object key of the last one
    certificates INTEGER NOT NULL DEFAULT 0
) WITHOUT ROWID;

-- What an erasure is about: calls, recordings, deliveries, runs, segments.
CREATE TABLE erasure_items (
    erasure_id TEXT NOT NULL,
    kind       TEXT NOT NULL,
    ref        TEXT NOT NULL, -- an id, or an object key
    state      TEXT NOT NULL, -- due, kept or erased
    until_at   INTEGER,       -- of what is kept: when it can go, if that is known
    why        TEXT NOT NULL DEFAULT '',
    at         INTEGER NOT NULL,
    PRIMARY KEY (erasure_id, kind, ref)
) WITHOUT ROWID;

-- Numbers whose calls before a moment must not come back.
CREATE TABLE suppressed_numbers (
    seq         INTEGER PRIMARY KEY,
    number_hash TEXT NOT NULL,
    before_at   INTEGER NOT NULL
);

-- Empty; 'part': a number was taken out of query and body; 'whole': a note
-- stands in their place. body_sha256 stays that of what was delivered.
ALTER TABLE deliveries ADD COLUMN erased TEXT NOT NULL DEFAULT '';
