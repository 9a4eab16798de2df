-- +goose Up
-- How full the nodes' disks are, as each node says of its own.
CREATE TABLE disks (
    name     TEXT PRIMARY KEY,
    free     BIGINT NOT NULL,
    size     BIGINT NOT NULL,
    fills_in BIGINT NOT NULL,
    seen_at  BIGINT NOT NULL
);
