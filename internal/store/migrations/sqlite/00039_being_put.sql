-- +goose Up
-- 1: the seal is being put into the vault, or was when a server was killed. Only
-- the newest can be.
ALTER TABLE audit_seals ADD COLUMN being_put INTEGER NOT NULL DEFAULT 0;

-- Files of reports that are being put into the vault, or were when a server was
-- killed: the row of their run may never speak of them.
CREATE TABLE planned_files (
    object_key TEXT PRIMARY KEY,
    run_id     TEXT NOT NULL REFERENCES runs (id),
    name       TEXT NOT NULL,
    size       INTEGER NOT NULL,
    sha256     TEXT NOT NULL,
    revision   INTEGER NOT NULL
);

CREATE INDEX planned_files_run ON planned_files (run_id);
