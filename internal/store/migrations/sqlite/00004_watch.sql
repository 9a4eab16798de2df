-- +goose Up
-- What accounts' reports are made of: fields, their types, status words.
CREATE TABLE report_kinds (
    account    TEXT NOT NULL,
    report     TEXT NOT NULL, -- report or live
    first_seen INTEGER NOT NULL,
    reports    INTEGER NOT NULL,
    PRIMARY KEY (account, report)
) WITHOUT ROWID;

CREATE TABLE traits (
    id         TEXT NOT NULL UNIQUE,
    account    TEXT NOT NULL,
    report     TEXT NOT NULL,
    aspect     TEXT NOT NULL,
    name       TEXT NOT NULL,
    type       TEXT NOT NULL,
    change     TEXT NOT NULL,
    first_seen INTEGER NOT NULL,
    last_seen  INTEGER NOT NULL,
    reports    INTEGER NOT NULL,
    PRIMARY KEY (account, report, aspect, name, type)
) WITHOUT ROWID;

-- How many reports came in an hour, counted when it is over. The row without an
-- account says that the hour was counted.
CREATE TABLE activity (
    hour    INTEGER NOT NULL, -- its beginning
    account TEXT NOT NULL,
    reports INTEGER NOT NULL,
    last_at INTEGER, -- when the last of them came
    PRIMARY KEY (hour, account)
) WITHOUT ROWID;

-- One row: since when somebody has been keeping watch without a pause, and when
-- somebody last did.
CREATE TABLE watch (
    id      INTEGER PRIMARY KEY CHECK (id = 1),
    since   INTEGER NOT NULL,
    last_at INTEGER NOT NULL
);

CREATE TABLE alerts (
    id        TEXT PRIMARY KEY,
    kind      TEXT NOT NULL,
    account   TEXT NOT NULL,
    since     INTEGER NOT NULL, -- of the trouble
    opened_at INTEGER NOT NULL,
    opening   TEXT NOT NULL,
    closed_at INTEGER,
    closing   TEXT NOT NULL DEFAULT ''
);
CREATE UNIQUE INDEX alerts_open ON alerts (kind, account) WHERE closed_at IS NULL;
CREATE INDEX alerts_opened ON alerts (opened_at, id);

-- What is to be sent of an alert, to whom.
CREATE TABLE notices (
    id          TEXT PRIMARY KEY,
    alert_id    TEXT NOT NULL REFERENCES alerts (id),
    event       TEXT NOT NULL, -- opened or closed
    target      TEXT NOT NULL, -- a mail address, or webhook
    state       TEXT NOT NULL,
    attempts    INTEGER NOT NULL DEFAULT 0,
    detail      TEXT NOT NULL DEFAULT '',
    created_at  INTEGER NOT NULL,
    next_try_at INTEGER, -- when it is due; while it is being sent, when the lease ends
    UNIQUE (alert_id, event, target)
);
CREATE INDEX notices_due ON notices (next_try_at) WHERE next_try_at IS NOT NULL;
