-- +goose Up
-- The SHA-256 of the object, in lower-case hex, where it may be another than
-- that of the audio; empty: it is the audio's.
ALTER TABLE recordings ADD COLUMN stored_sha256 TEXT COLLATE "C" NOT NULL DEFAULT '';

-- What the retention rules say of a recording (call.Judgement): by which rule,
-- until when by today's rules, and when it may be deleted, which is never
-- before retain_until. NULL: never.
ALTER TABLE recordings ADD COLUMN rule TEXT COLLATE "C" NOT NULL DEFAULT '';
ALTER TABLE recordings ADD COLUMN rule_until BIGINT;
ALTER TABLE recordings ADD COLUMN due_at BIGINT;
-- By which set of rules it was judged; another word: to be judged again.
ALTER TABLE recordings ADD COLUMN judged TEXT COLLATE "C" NOT NULL DEFAULT '';
-- Until when the vault will not delete it, though it is due, and why.
ALTER TABLE recordings ADD COLUMN blocked_until BIGINT;
ALTER TABLE recordings ADD COLUMN blocked_by TEXT COLLATE "C" NOT NULL DEFAULT '';
-- When the object of an expired one was gone; until then it is being deleted.
ALTER TABLE recordings ADD COLUMN expired_at BIGINT;

CREATE INDEX recordings_judged ON recordings (judged, id) WHERE state = 'archived';
CREATE INDEX recordings_kept ON recordings (due_at) WHERE state = 'archived' AND due_at IS NOT NULL;
CREATE INDEX recordings_going ON recordings (id) WHERE state = 'expired' AND expired_at IS NULL;
-- Those that today's rules would let go before what was promised.
CREATE INDEX recordings_promised ON recordings (rule_until) WHERE state = 'archived' AND rule_until < retain_until;
CREATE INDEX recordings_archived ON recordings (archived_at) WHERE archived_at IS NOT NULL;

-- What one node at a time does: a lease, and what the last run came to.
CREATE TABLE retention_jobs (
    name        TEXT COLLATE "C" PRIMARY KEY,
    lease_token TEXT COLLATE "C",
    lease_until BIGINT,
    next_at     BIGINT,
    started_at  BIGINT,
    ended_at    BIGINT,
    result      TEXT COLLATE "C" NOT NULL DEFAULT '', -- JSON
    rules       TEXT COLLATE "C" NOT NULL DEFAULT '', -- as last seen
    rules_since BIGINT
);

-- What came into the vault and went out of it, by UTC day (its beginning). The
-- row without an account says that what came in on that day was counted.
CREATE TABLE storage_days (
    day             BIGINT NOT NULL,
    account         TEXT COLLATE "C" NOT NULL,
    added           BIGINT NOT NULL DEFAULT 0,
    added_bytes     BIGINT NOT NULL DEFAULT 0,
    deleted         BIGINT NOT NULL DEFAULT 0,
    deleted_bytes   BIGINT NOT NULL DEFAULT 0,
    PRIMARY KEY (day, account)
);

-- Report files go, their runs stay: when that began, and when it was done.
ALTER TABLE runs ADD COLUMN files_expiring_at BIGINT;
ALTER TABLE runs ADD COLUMN files_expired_at BIGINT;
