-- +goose Up
-- The SHA-256 of the object, in lower-case hex, where it may be another than
-- that of the audio; empty: it is the audio's.
ALTER TABLE recordings ADD COLUMN stored_sha256 TEXT NOT NULL DEFAULT '';

-- What the retention rules say of a recording (call.Judgement): by which rule,
-- until when by today's rules, and when it may be deleted, which is never
-- before retain_until. NULL: never.
ALTER TABLE recordings ADD COLUMN rule TEXT NOT NULL DEFAULT '';
ALTER TABLE recordings ADD COLUMN rule_until INTEGER;
ALTER TABLE recordings ADD COLUMN due_at INTEGER;
-- By which set of rules it was judged; another word: to be judged again.
ALTER TABLE recordings ADD COLUMN judged TEXT NOT NULL DEFAULT '';
-- Until when the vault will not delete it, though it is due, and why.
ALTER TABLE recordings ADD COLUMN blocked_until INTEGER;
ALTER TABLE recordings ADD COLUMN blocked_by TEXT NOT NULL DEFAULT '';
-- When the object of an expired one was gone; until then it is being deleted.
ALTER TABLE recordings ADD COLUMN expired_at INTEGER;

CREATE INDEX recordings_judged ON recordings (judged, id) WHERE state = 'archived';
CREATE INDEX recordings_kept ON recordings (due_at) WHERE state = 'archived' AND due_at IS NOT NULL;
CREATE INDEX recordings_going ON recordings (id) WHERE state = 'expired' AND expired_at IS NULL;
-- Those that today's rules would let go before what was promised.
CREATE INDEX recordings_promised ON recordings (rule_until) WHERE state = 'archived' AND rule_until < retain_until;
CREATE INDEX recordings_archived ON recordings (archived_at) WHERE archived_at IS NOT NULL;

-- What one node at a time does: a lease, and what the last run came to.
CREATE TABLE retention_jobs (
    name        TEXT PRIMARY KEY,
    lease_token TEXT,
    lease_until INTEGER,
    next_at     INTEGER,
    started_at  INTEGER,
    ended_at    INTEGER,
    result      TEXT NOT NULL DEFAULT '', -- JSON
    rules       TEXT NOT NULL DEFAULT '', -- as last seen
    rules_since INTEGER
) WITHOUT ROWID;

-- What came into the vault and went out of it, by UTC day (its beginning). The
-- row without an account says that what came in on that day was counted.
CREATE TABLE storage_days (
    day             INTEGER NOT NULL,
    account         TEXT NOT NULL,
    added           INTEGER NOT NULL DEFAULT 0,
    added_bytes     INTEGER NOT NULL DEFAULT 0,
    deleted         INTEGER NOT NULL DEFAULT 0,
    deleted_bytes   INTEGER NOT NULL DEFAULT 0,
    PRIMARY KEY (day, account)
) WITHOUT ROWID;

-- Report files go, their runs stay: when that began, and when it was done.
ALTER TABLE runs ADD COLUMN files_expiring_at INTEGER;
ALTER TABLE runs ADD COLUMN files_expired_at INTEGER;
