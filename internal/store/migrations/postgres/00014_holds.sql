-- +goose Up
-- Legal holds. facts is call.Hold as JSON.
CREATE TABLE holds (
    id          TEXT COLLATE "C" PRIMARY KEY,
    name        TEXT COLLATE "C" NOT NULL UNIQUE,
    facts       TEXT COLLATE "C" NOT NULL,
    filled_at   BIGINT, -- when all calls were last compared with its filter
    released_at BIGINT,
    lifted      BIGINT NOT NULL DEFAULT 0 -- 1: released, and its objects are being looked at
);

-- The calls that came under a hold. They stay when it is released.
CREATE TABLE hold_calls (
    hold_id TEXT COLLATE "C" NOT NULL,
    call_id TEXT COLLATE "C" NOT NULL,
    since   BIGINT NOT NULL,
    PRIMARY KEY (hold_id, call_id)
);
CREATE INDEX hold_calls_call ON hold_calls (call_id);

-- Recordings whose object has, or is to have, the store's own legal hold.
-- pushed_at is NULL while the object may not be as it should.
CREATE TABLE held_recordings (
    recording_id TEXT COLLATE "C" PRIMARY KEY,
    pushed_at    BIGINT
);
CREATE INDEX held_recordings_due ON held_recordings (recording_id) WHERE pushed_at IS NULL;

-- Up to which delivery calls were compared with the holds. What has a greater
-- id than seen_id was stored after seen_at; a smaller one may have been
-- committed later, for a while. NULL: no hold waits for calls.
CREATE TABLE hold_follow (
    id          BIGINT PRIMARY KEY CHECK (id = 1),
    delivery_id BIGINT,
    seen_id     BIGINT,
    seen_at     BIGINT,
    lease_until BIGINT NOT NULL DEFAULT 0
);
INSERT INTO hold_follow (id) VALUES (1);

-- Erasures of a person's number. number is emptied when all that holds it has
-- been found; number_hash is keyed with what is not in the database.
CREATE TABLE erasures (
    id           TEXT COLLATE "C" PRIMARY KEY,
    number_hash  TEXT COLLATE "C" NOT NULL,
    number       TEXT COLLATE "C" NOT NULL,
    reason       TEXT COLLATE "C" NOT NULL,
    asked_at     BIGINT NOT NULL,
    asked_by     TEXT COLLATE "C" NOT NULL,
    scanned      BIGINT NOT NULL DEFAULT 0, -- the last delivery looked through
    found_at     BIGINT,                    -- when all had been
    next_at      BIGINT,                    -- when it goes on; while leased, when the lease ends; NULL: it is done
    lease_token  TEXT COLLATE "C",
    finished_at  BIGINT,
    certificate  TEXT COLLATE "C" NOT NULL DEFAULT '',   -- object key of the last one
    certificates BIGINT NOT NULL DEFAULT 0
);

-- What an erasure is about: calls, recordings, deliveries, runs, segments.
CREATE TABLE erasure_items (
    erasure_id TEXT COLLATE "C" NOT NULL,
    kind       TEXT COLLATE "C" NOT NULL,
    ref        TEXT COLLATE "C" NOT NULL, -- an id, or an object key
    state      TEXT COLLATE "C" NOT NULL, -- due, kept or erased
    until_at   BIGINT,       -- of what is kept: when it can go, if that is known
    why        TEXT COLLATE "C" NOT NULL DEFAULT '',
    at         BIGINT NOT NULL,
    PRIMARY KEY (erasure_id, kind, ref)
);

-- Numbers whose calls before a moment must not come back.
CREATE TABLE suppressed_numbers (
    seq         BIGINT PRIMARY KEY,
    number_hash TEXT COLLATE "C" NOT NULL,
    before_at   BIGINT NOT NULL
);

-- Empty; 'part': a number was taken out of query and body; 'whole': a note
-- stands in their place. body_sha256 stays that of what was delivered.
ALTER TABLE deliveries ADD COLUMN erased TEXT COLLATE "C" NOT NULL DEFAULT '';
