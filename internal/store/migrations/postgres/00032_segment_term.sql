-- +goose Up
-- What keeps a segment in the vault whose own term is over, and until when.
ALTER TABLE journal_segments ADD COLUMN blocked_by TEXT COLLATE "C" NOT NULL DEFAULT '';
ALTER TABLE journal_segments ADD COLUMN blocked_until BIGINT;
