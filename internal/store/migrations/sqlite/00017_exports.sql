-- +goose Up
-- Jobs that make bundles of calls with recordings and evidence.
CREATE TABLE exports (
    id              TEXT PRIMARY KEY,
    state           TEXT NOT NULL,
    request         TEXT NOT NULL, -- JSON
    groups_of        TEXT NOT NULL, -- JSON list: the groups of whoever asked
    asked_by        TEXT NOT NULL,
    reason          TEXT NOT NULL,
    created_at      INTEGER NOT NULL,
    finished_at     INTEGER,
    remove_at       INTEGER,
    attempts        INTEGER NOT NULL DEFAULT 0,
    done            INTEGER NOT NULL DEFAULT 0,
    total           INTEGER NOT NULL DEFAULT 0,
    calls           INTEGER NOT NULL DEFAULT 0,
    recordings      INTEGER NOT NULL DEFAULT 0,
    missing         INTEGER NOT NULL DEFAULT 0,
    altered         INTEGER NOT NULL DEFAULT 0,
    size            INTEGER NOT NULL DEFAULT 0,
    piece_size      INTEGER NOT NULL DEFAULT 0,
    manifest_sha256 TEXT NOT NULL DEFAULT '',
    prefix          TEXT NOT NULL DEFAULT '',
    error           TEXT NOT NULL DEFAULT '',
    lease_token     TEXT,
    -- When it is due, or until when a node has it; null: never again.
    next_try_at     INTEGER,
    -- Its pieces in the vault have been taken away.
    cleared         INTEGER NOT NULL DEFAULT 0
);
CREATE INDEX exports_due ON exports (next_try_at) WHERE next_try_at IS NOT NULL;
CREATE INDEX exports_created ON exports (created_at, id);
