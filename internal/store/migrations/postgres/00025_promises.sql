-- +goose Up
-- Until when objects that are no recordings are promised to stay (NULL: nothing
-- is promised), and by which term that was said; another word: it is to be said
-- again.
ALTER TABLE journal_segments ADD COLUMN retain_until BIGINT;
ALTER TABLE journal_segments ADD COLUMN promised_by TEXT COLLATE "C" NOT NULL DEFAULT '';
ALTER TABLE audit_seals ADD COLUMN retain_until BIGINT;
ALTER TABLE audit_seals ADD COLUMN promised_by TEXT COLLATE "C" NOT NULL DEFAULT '';
ALTER TABLE runs ADD COLUMN retain_until BIGINT;
ALTER TABLE runs ADD COLUMN promised_by TEXT COLLATE "C" NOT NULL DEFAULT '';
-- Until when the vault will not delete a run's files, though they are due, and
-- why.
ALTER TABLE runs ADD COLUMN blocked_until BIGINT;
ALTER TABLE runs ADD COLUMN blocked_by TEXT COLLATE "C" NOT NULL DEFAULT '';

CREATE INDEX journal_segments_promised ON journal_segments (promised_by, number);
CREATE INDEX audit_seals_promised ON audit_seals (promised_by, size);
CREATE INDEX runs_promised ON runs (promised_by, id);
