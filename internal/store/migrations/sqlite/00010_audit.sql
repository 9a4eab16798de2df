-- +goose Up
-- The append-only log, one row an entry (audit.Entry). Nobody else writes here
-- than tx.writeAudit, which holds the row of audit_head.
CREATE TABLE audit_entries (
    seq           INTEGER PRIMARY KEY,
    at            INTEGER NOT NULL,
    action        TEXT NOT NULL,
    actor_kind    TEXT NOT NULL,
    actor_name    TEXT NOT NULL,
    actor_address TEXT NOT NULL,
    subject       TEXT NOT NULL,
    reason        TEXT NOT NULL,
    facts         TEXT NOT NULL, -- a JSON object, or empty
    -- The tree's hashes that are stored with it, 32 bytes each: that of the
    -- entry, and those of the subtrees that it completes.
    hashes        BLOB NOT NULL
);
CREATE INDEX audit_entries_at ON audit_entries (at);
CREATE INDEX audit_entries_subject ON audit_entries (subject, seq) WHERE subject <> '';
-- Most is done by Callvault itself, most of that to recordings, and nobody asks
-- for it so.
CREATE INDEX audit_entries_actor ON audit_entries (actor_name, seq) WHERE actor_kind <> 'system';
CREATE INDEX audit_entries_action ON audit_entries (action, seq) WHERE action <> 'recording.archived';

-- The log's head, one row: how many entries there are, and the roots of the
-- complete subtrees, 32 bytes each.
CREATE TABLE audit_head (
    id   INTEGER PRIMARY KEY CHECK (id = 0),
    size INTEGER NOT NULL,
    edge BLOB NOT NULL
);
INSERT INTO audit_head VALUES (0, 0, x'');

-- The key that signs the heads, one row: its public half.
CREATE TABLE audit_key (
    id         INTEGER PRIMARY KEY CHECK (id = 0),
    verifier   TEXT NOT NULL,
    created_at INTEGER NOT NULL
);

-- Signed heads that lie in the vault.
CREATE TABLE audit_seals (
    size       INTEGER PRIMARY KEY,
    sealed_at  INTEGER NOT NULL,
    object_key TEXT NOT NULL,
    note       TEXT NOT NULL
);
