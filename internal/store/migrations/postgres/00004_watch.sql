-- +goose Up
-- What accounts' reports are made of: fields, their types, status words.
CREATE TABLE report_kinds (
    account    TEXT COLLATE "C" NOT NULL,
    report     TEXT COLLATE "C" NOT NULL, -- report or live
    first_seen BIGINT NOT NULL,
    reports    BIGINT NOT NULL,
    PRIMARY KEY (account, report)
);

CREATE TABLE traits (
    id         TEXT COLLATE "C" NOT NULL UNIQUE,
    account    TEXT COLLATE "C" NOT NULL,
    report     TEXT COLLATE "C" NOT NULL,
    aspect     TEXT COLLATE "C" NOT NULL,
    name       TEXT COLLATE "C" NOT NULL,
    type       TEXT COLLATE "C" NOT NULL,
    change     TEXT COLLATE "C" NOT NULL,
    first_seen BIGINT NOT NULL,
    last_seen  BIGINT NOT NULL,
    reports    BIGINT NOT NULL,
    PRIMARY KEY (account, report, aspect, name, type)
);

-- How many reports came in an hour, counted when it is over. The row without an
-- account says that the hour was counted.
CREATE TABLE activity (
    hour    BIGINT NOT NULL, -- its beginning
    account TEXT COLLATE "C" NOT NULL,
    reports BIGINT NOT NULL,
    last_at BIGINT, -- when the last of them came
    PRIMARY KEY (hour, account)
);

-- One row: since when somebody has been keeping watch without a pause, and when
-- somebody last did.
CREATE TABLE watch (
    id      BIGINT PRIMARY KEY CHECK (id = 1),
    since   BIGINT NOT NULL,
    last_at BIGINT NOT NULL
);

CREATE TABLE alerts (
    id        TEXT COLLATE "C" PRIMARY KEY,
    kind      TEXT COLLATE "C" NOT NULL,
    account   TEXT COLLATE "C" NOT NULL,
    since     BIGINT NOT NULL, -- of the trouble
    opened_at BIGINT NOT NULL,
    opening   TEXT NOT NULL,
    closed_at BIGINT,
    closing   TEXT NOT NULL DEFAULT ''
);
CREATE UNIQUE INDEX alerts_open ON alerts (kind, account) WHERE closed_at IS NULL;
CREATE INDEX alerts_opened ON alerts (opened_at, id);

-- What is to be sent of an alert, to whom.
CREATE TABLE notices (
    id          TEXT COLLATE "C" PRIMARY KEY,
    alert_id    TEXT COLLATE "C" NOT NULL REFERENCES alerts (id),
    event       TEXT COLLATE "C" NOT NULL, -- opened or closed
    target      TEXT COLLATE "C" NOT NULL, -- a mail address, or webhook
    state       TEXT COLLATE "C" NOT NULL,
    attempts    BIGINT NOT NULL DEFAULT 0,
    detail      TEXT NOT NULL DEFAULT '',
    created_at  BIGINT NOT NULL,
    next_try_at BIGINT, -- when it is due; while it is being sent, when the lease ends
    UNIQUE (alert_id, event, target)
);
CREATE INDEX notices_due ON notices (next_try_at) WHERE next_try_at IS NOT NULL;
