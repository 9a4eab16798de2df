-- +goose Up
-- The key of the hashes of erased numbers. It leaves the database with no
-- journal, log or certificate.
CREATE TABLE erasure_key (
    id  INTEGER PRIMARY KEY CHECK (id = 1),
    key BLOB NOT NULL
);

-- What the last certificate says is of then.
ALTER TABLE erasures ADD COLUMN certified_at INTEGER;
