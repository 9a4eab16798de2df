-- +goose Up
-- Jobs that make bundles of calls with recordings and evidence.
CREATE TABLE exports (
    id              TEXT COLLATE "C" PRIMARY KEY,
    state           TEXT COLLATE "C" NOT NULL,
    request         TEXT COLLATE "C" NOT NULL, -- JSON
    groups_of        TEXT COLLATE "C" NOT NULL, -- JSON list: the groups of whoever asked
    asked_by        TEXT COLLATE "C" NOT NULL,
    reason          TEXT COLLATE "C" NOT NULL,
    created_at      BIGINT NOT NULL,
    finished_at     BIGINT,
    remove_at       BIGINT,
    attempts        BIGINT NOT NULL DEFAULT 0,
    done            BIGINT NOT NULL DEFAULT 0,
    total           BIGINT NOT NULL DEFAULT 0,
    calls           BIGINT NOT NULL DEFAULT 0,
    recordings      BIGINT NOT NULL DEFAULT 0,
    missing         BIGINT NOT NULL DEFAULT 0,
    altered         BIGINT NOT NULL DEFAULT 0,
    size            BIGINT NOT NULL DEFAULT 0,
    piece_size      BIGINT NOT NULL DEFAULT 0,
    manifest_sha256 TEXT COLLATE "C" NOT NULL DEFAULT '',
    prefix          TEXT COLLATE "C" NOT NULL DEFAULT '',
    error           TEXT COLLATE "C" NOT NULL DEFAULT '',
    lease_token     TEXT COLLATE "C",
    -- When it is due, or until when a node has it; null: never again.
    next_try_at     BIGINT,
    -- Its pieces in the vault have been taken away.
    cleared         BIGINT NOT NULL DEFAULT 0
);
CREATE INDEX exports_due ON exports (next_try_at) WHERE next_try_at IS NOT NULL;
CREATE INDEX exports_created ON exports (created_at, id);
