-- +goose Up
-- 1: the seal is being put into the vault, or was when a server was killed. Only
-- the newest can be.
ALTER TABLE audit_seals ADD COLUMN being_put BIGINT NOT NULL DEFAULT 0;

-- Files of reports that are being put into the vault, or were when a server was
-- killed: the row of their run may never speak of them.
CREATE TABLE planned_files (
    object_key TEXT COLLATE "C" PRIMARY KEY,
    run_id     TEXT COLLATE "C" NOT NULL REFERENCES runs (id),
    name       TEXT COLLATE "C" NOT NULL,
    size       BIGINT NOT NULL,
    sha256     TEXT COLLATE "C" NOT NULL,
    revision   BIGINT NOT NULL
);

CREATE INDEX planned_files_run ON planned_files (run_id);
