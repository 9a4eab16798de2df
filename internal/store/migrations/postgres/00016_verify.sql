-- +goose Up
-- When its object was last read whole and found to be as it was archived.
ALTER TABLE recordings ADD COLUMN verified_at BIGINT;
CREATE INDEX recordings_object ON recordings (object_key, id) WHERE object_key <> '';

-- Which versions of the program have read what comes, and since when.
CREATE TABLE program_versions (
    version  TEXT COLLATE "C" PRIMARY KEY,
    since_at BIGINT NOT NULL
);
-- What came before this table was read by nobody knows which.
INSERT INTO program_versions SELECT '', max(received_at) FROM deliveries HAVING count(*) > 0;
