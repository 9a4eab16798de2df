-- Times are Unix milliseconds UTC. An unknown time is NULL, but for
-- calls.started_at, where it is 0, so that calls without a start keep a place
-- in every order.

-- +goose Up
CREATE TABLE sequences (
    name  TEXT PRIMARY KEY,
    value INTEGER NOT NULL
) WITHOUT ROWID;
INSERT INTO sequences VALUES ('deliveries', 0), ('legs', 0);

CREATE TABLE bodies (
    sha256 BLOB NOT NULL UNIQUE,
    body   BLOB NOT NULL
);

CREATE TABLE deliveries (
    id             INTEGER PRIMARY KEY,
    uid            TEXT NOT NULL UNIQUE,
    account        TEXT NOT NULL,
    received_at    INTEGER NOT NULL,
    method         TEXT NOT NULL,
    content_type   TEXT NOT NULL,
    query          BLOB NOT NULL, -- as sent, valid UTF-8 or not
    body_sha256    BLOB NOT NULL,
    remote_address TEXT NOT NULL,
    source         TEXT NOT NULL,
    outcome        TEXT NOT NULL,
    error          TEXT NOT NULL
);
CREATE INDEX deliveries_received ON deliveries (received_at);
-- Nearly all are recorded, and nobody looks for them so.
CREATE INDEX deliveries_outcome ON deliveries (outcome, id) WHERE outcome <> 'recorded';

CREATE TABLE legs (
    id      INTEGER PRIMARY KEY,
    account TEXT NOT NULL,
    leg_key TEXT NOT NULL,
    call_id TEXT NOT NULL,
    facts   TEXT NOT NULL, -- call.Leg as JSON
    UNIQUE (leg_key, account)
);
CREATE INDEX legs_call ON legs (call_id);

CREATE TABLE delivery_items (
    delivery_id INTEGER NOT NULL,
    item        INTEGER NOT NULL,
    outcome     TEXT NOT NULL,
    error       TEXT NOT NULL,
    leg_id      INTEGER,
    PRIMARY KEY (delivery_id, item)
) WITHOUT ROWID;
CREATE INDEX delivery_items_leg ON delivery_items (leg_id) WHERE leg_id IS NOT NULL;

CREATE TABLE calls (
    id              TEXT PRIMARY KEY,
    account         TEXT NOT NULL,
    provider        TEXT NOT NULL,
    call_key        TEXT NOT NULL,
    key_kind        TEXT NOT NULL,
    direction       TEXT NOT NULL,
    outcome         TEXT NOT NULL,
    status          TEXT NOT NULL,
    customer_number TEXT NOT NULL,
    business_number TEXT NOT NULL,
    agent_id        TEXT NOT NULL,
    agent_name      TEXT NOT NULL,
    agent_number    TEXT NOT NULL,
    offers          TEXT NOT NULL, -- JSON array of agents, or empty
    group_name      TEXT NOT NULL,
    campaign        TEXT NOT NULL,
    started_at      INTEGER NOT NULL,
    answered_at     INTEGER,
    ended_at        INTEGER,
    wait_seconds    INTEGER,
    talk_seconds    INTEGER,
    total_seconds   INTEGER,
    hangup_cause    TEXT NOT NULL,
    hangup_by       TEXT NOT NULL,
    cost            TEXT NOT NULL,
    legs_count      INTEGER NOT NULL,
    customer_rev    TEXT NOT NULL -- digits reversed, to search by last digits
);
CREATE INDEX calls_started ON calls (started_at, id);
CREATE INDEX calls_customer ON calls (customer_rev, started_at);

-- Agents' and business numbers, by their digits reversed: few, and each on many
-- calls.
CREATE TABLE own_numbers (
    rev    TEXT NOT NULL,
    number TEXT NOT NULL,
    PRIMARY KEY (rev, number)
) WITHOUT ROWID;

-- Identifiers that decide which call a leg belongs to.
CREATE TABLE call_keys (
    value   TEXT NOT NULL,
    kind    TEXT NOT NULL,
    account TEXT NOT NULL,
    call_id TEXT NOT NULL,
    PRIMARY KEY (value, kind, account)
) WITHOUT ROWID;

-- Identifiers that people search by, and that join nothing.
CREATE TABLE call_links (
    value   TEXT NOT NULL,
    kind    TEXT NOT NULL,
    account TEXT NOT NULL,
    call_id TEXT NOT NULL,
    PRIMARY KEY (value, kind, account, call_id)
) WITHOUT ROWID;
CREATE INDEX call_links_call ON call_links (call_id);

-- A call that turned out to be part of another, older one.
CREATE TABLE call_redirects (
    id      TEXT PRIMARY KEY,
    call_id TEXT NOT NULL
) WITHOUT ROWID;

CREATE INDEX call_redirects_call ON call_redirects (call_id);

CREATE TABLE recordings (
    id            TEXT PRIMARY KEY,
    account       TEXT NOT NULL,
    provider      TEXT NOT NULL,
    kind          TEXT NOT NULL,
    source        TEXT NOT NULL,
    location      TEXT NOT NULL,
    leg_id        INTEGER NOT NULL,
    call_id       TEXT NOT NULL,
    state         TEXT NOT NULL,
    reason        TEXT NOT NULL DEFAULT '',
    object_key    TEXT NOT NULL DEFAULT '',
    size          INTEGER NOT NULL DEFAULT 0,
    sha256        TEXT NOT NULL DEFAULT '',
    media_type    TEXT NOT NULL DEFAULT '',
    audio_seconds INTEGER,
    created_at    INTEGER NOT NULL,
    wanted_at     INTEGER NOT NULL, -- since when we have been waiting for it
    archived_at   INTEGER,
    retain_until  INTEGER,
    attempts      INTEGER NOT NULL DEFAULT 0,
    -- When it is due; while leased, when the lease ends. NULL: it is settled, or
    -- waits for its account.
    next_try_at   INTEGER,
    last_error    TEXT NOT NULL DEFAULT '',
    host          TEXT NOT NULL,
    lease_token   TEXT,
    UNIQUE (source, kind, account)
);
CREATE INDEX recordings_due ON recordings (next_try_at) WHERE next_try_at IS NOT NULL;
CREATE INDEX recordings_call ON recordings (call_id);
-- What is neither queued nor archived: few, and a person may ask for it.
CREATE INDEX recordings_settled ON recordings (state, account) WHERE next_try_at IS NULL AND state <> 'archived';

CREATE TABLE account_pauses (
    account   TEXT PRIMARY KEY,
    reason    TEXT NOT NULL,
    paused_at INTEGER NOT NULL
) WITHOUT ROWID;

CREATE TABLE live_calls (
    account         TEXT NOT NULL,
    kind            TEXT NOT NULL,
    value           TEXT NOT NULL,
    direction       TEXT NOT NULL,
    state           TEXT NOT NULL,
    customer_number TEXT NOT NULL,
    business_number TEXT NOT NULL,
    agent_id        TEXT NOT NULL,
    agent_name      TEXT NOT NULL,
    agent_number    TEXT NOT NULL,
    group_name      TEXT NOT NULL,
    since           INTEGER,
    at              INTEGER,
    start_seen      INTEGER, -- the true start, if an event gave it
    updated_at      INTEGER NOT NULL,
    PRIMARY KEY (account, kind, value)
) WITHOUT ROWID;

CREATE TABLE report_schedules (
    report     TEXT PRIMARY KEY,
    first_seen INTEGER NOT NULL
) WITHOUT ROWID;

CREATE TABLE runs (
    id          TEXT PRIMARY KEY,
    report      TEXT NOT NULL,
    period_from INTEGER NOT NULL,
    period_to   INTEGER NOT NULL,
    zone        TEXT NOT NULL,
    state       TEXT NOT NULL,
    revision    INTEGER NOT NULL DEFAULT 0,
    as_of       INTEGER,
    input_hash  TEXT NOT NULL DEFAULT '',
    files       TEXT NOT NULL DEFAULT '[]',
    error       TEXT NOT NULL DEFAULT '',
    created_at  INTEGER NOT NULL,
    built_at    INTEGER,
    lease_token TEXT,
    lease_until INTEGER,
    UNIQUE (report, period_from, period_to)
);

CREATE TABLE mails (
    id          TEXT PRIMARY KEY,
    run_id      TEXT NOT NULL REFERENCES runs (id),
    recipient   TEXT NOT NULL,
    message_id  TEXT NOT NULL,
    state       TEXT NOT NULL,
    detail      TEXT NOT NULL DEFAULT '',
    attempts    INTEGER NOT NULL,
    created_at  INTEGER NOT NULL,
    next_try_at INTEGER,
    sent_at     INTEGER,
    lease_until INTEGER,
    UNIQUE (run_id, recipient)
);
CREATE INDEX mails_state ON mails (state, next_try_at);

CREATE TABLE users (
    name          TEXT PRIMARY KEY,
    role          TEXT NOT NULL,
    user_groups   TEXT NOT NULL DEFAULT '[]',
    password_hash TEXT NOT NULL,
    created_at    INTEGER NOT NULL,
    disabled      INTEGER NOT NULL DEFAULT 0
) WITHOUT ROWID;

CREATE TABLE tokens (
    name         TEXT PRIMARY KEY,
    role         TEXT NOT NULL,
    user_groups  TEXT NOT NULL DEFAULT '[]',
    hash         BLOB NOT NULL UNIQUE,
    created_at   INTEGER NOT NULL,
    last_used_at INTEGER,
    disabled     INTEGER NOT NULL DEFAULT 0
) WITHOUT ROWID;
