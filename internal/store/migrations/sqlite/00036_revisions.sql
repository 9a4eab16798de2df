-- +goose Up
-- The newest revision that is mailed to those who have an earlier one; 0: none.
ALTER TABLE runs ADD COLUMN mail_revision INTEGER NOT NULL DEFAULT 0;
-- Up to which delivery the run's period is known to be as the run tells it;
-- 0: nobody knows.
ALTER TABLE runs ADD COLUMN known_deliveries INTEGER NOT NULL DEFAULT 0;
-- The last time of the schedule at which it was looked whether the run must be
-- revised.
ALTER TABLE runs ADD COLUMN looked_at INTEGER;

-- A mail is one of a revision.
CREATE TABLE revised_mails (
    id          TEXT PRIMARY KEY,
    run_id      TEXT NOT NULL REFERENCES runs (id),
    revision    INTEGER NOT NULL DEFAULT 1,
    recipient   TEXT NOT NULL,
    message_id  TEXT NOT NULL,
    state       TEXT NOT NULL,
    detail      TEXT NOT NULL DEFAULT '',
    attempts    INTEGER NOT NULL,
    created_at  INTEGER NOT NULL,
    next_try_at INTEGER,
    sent_at     INTEGER,
    lease_until INTEGER,
    UNIQUE (run_id, revision, recipient)
);
INSERT INTO revised_mails (id, run_id, recipient, message_id, state, detail, attempts, created_at, next_try_at, sent_at, lease_until)
    SELECT id, run_id, recipient, message_id, state, detail, attempts, created_at, next_try_at, sent_at, lease_until FROM mails;
DROP TABLE mails;
ALTER TABLE revised_mails RENAME TO mails;
CREATE INDEX mails_state ON mails (state, next_try_at);
