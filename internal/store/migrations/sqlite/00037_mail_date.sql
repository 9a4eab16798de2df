-- +goose Up
-- The date that a mail has borne since it was first begun, where it was begun
-- anew since, so that created_at is later.
ALTER TABLE mails ADD COLUMN dated_at INTEGER;
