-- +goose Up
-- The newest revision that is mailed to those who have an earlier one; 0: none.
ALTER TABLE runs ADD COLUMN mail_revision BIGINT NOT NULL DEFAULT 0;
-- Up to which delivery the run's period is known to be as the run tells it;
-- 0: nobody knows.
ALTER TABLE runs ADD COLUMN known_deliveries BIGINT NOT NULL DEFAULT 0;
-- The last time of the schedule at which it was looked whether the run must be
-- revised.
ALTER TABLE runs ADD COLUMN looked_at BIGINT;

-- A mail is one of a revision.
ALTER TABLE mails ADD COLUMN revision BIGINT NOT NULL DEFAULT 1;
ALTER TABLE mails DROP CONSTRAINT mails_run_id_recipient_key;
ALTER TABLE mails ADD UNIQUE (run_id, revision, recipient);
