-- Times are Unix milliseconds UTC. An unknown time is NULL, but for
-- calls.started_at, where it is 0, so that calls without a start keep a place
-- in every order. Text that is compared or ordered has the collation "C", which
-- is bytewise, as SQLite's is.

-- +goose Up
CREATE SEQUENCE deliveries_ids;
CREATE SEQUENCE legs_ids;

CREATE TABLE bodies (
    sha256 BYTEA NOT NULL UNIQUE,
    body   BYTEA NOT NULL
);

CREATE TABLE deliveries (
    id             BIGINT PRIMARY KEY,
    uid            TEXT COLLATE "C" NOT NULL UNIQUE,
    account        TEXT COLLATE "C" NOT NULL,
    received_at    BIGINT NOT NULL,
    method         TEXT COLLATE "C" NOT NULL,
    content_type   TEXT COLLATE "C" NOT NULL,
    query          BYTEA NOT NULL, -- as sent, valid UTF-8 or not
    body_sha256    BYTEA NOT NULL,
    remote_address TEXT COLLATE "C" NOT NULL,
    source         TEXT COLLATE "C" NOT NULL,
    outcome        TEXT COLLATE "C" NOT NULL,
    error          TEXT NOT NULL
);
CREATE INDEX deliveries_received ON deliveries (received_at);
-- Nearly all are recorded, and nobody looks for them so.
CREATE INDEX deliveries_outcome ON deliveries (outcome, id) WHERE outcome <> 'recorded';

CREATE TABLE legs (
    id      BIGINT PRIMARY KEY,
    account TEXT COLLATE "C" NOT NULL,
    leg_key TEXT COLLATE "C" NOT NULL,
    call_id TEXT COLLATE "C" NOT NULL,
    facts   TEXT NOT NULL, -- call.Leg as JSON
    UNIQUE (leg_key, account)
);
CREATE INDEX legs_call ON legs (call_id);

CREATE TABLE delivery_items (
    delivery_id BIGINT NOT NULL,
    item        BIGINT NOT NULL,
    outcome     TEXT COLLATE "C" NOT NULL,
    error       TEXT NOT NULL,
    leg_id      BIGINT,
    PRIMARY KEY (delivery_id, item)
);
CREATE INDEX delivery_items_leg ON delivery_items (leg_id) WHERE leg_id IS NOT NULL;

CREATE TABLE calls (
    id              TEXT COLLATE "C" PRIMARY KEY,
    account         TEXT COLLATE "C" NOT NULL,
    provider        TEXT COLLATE "C" NOT NULL,
    call_key        TEXT COLLATE "C" NOT NULL,
    key_kind        TEXT COLLATE "C" NOT NULL,
    direction       TEXT COLLATE "C" NOT NULL,
    outcome         TEXT COLLATE "C" NOT NULL,
    status          TEXT COLLATE "C" NOT NULL,
    customer_number TEXT COLLATE "C" NOT NULL,
    business_number TEXT COLLATE "C" NOT NULL,
    agent_id        TEXT COLLATE "C" NOT NULL,
    agent_name      TEXT COLLATE "C" NOT NULL,
    agent_number    TEXT COLLATE "C" NOT NULL,
    offers          TEXT NOT NULL, -- JSON array of agents, or empty
    group_name      TEXT COLLATE "C" NOT NULL,
    campaign        TEXT COLLATE "C" NOT NULL,
    started_at      BIGINT NOT NULL,
    answered_at     BIGINT,
    ended_at        BIGINT,
    wait_seconds    BIGINT,
    talk_seconds    BIGINT,
    total_seconds   BIGINT,
    hangup_cause    TEXT COLLATE "C" NOT NULL,
    hangup_by       TEXT COLLATE "C" NOT NULL,
    cost            TEXT COLLATE "C" NOT NULL,
    legs_count      BIGINT NOT NULL,
    customer_rev    TEXT COLLATE "C" NOT NULL -- digits reversed, to search by last digits
);
CREATE INDEX calls_started ON calls (started_at, id);
CREATE INDEX calls_customer ON calls (customer_rev, started_at);

-- Agents' and business numbers, by their digits reversed: few, and each on many
-- calls.
CREATE TABLE own_numbers (
    rev    TEXT COLLATE "C" NOT NULL,
    number TEXT COLLATE "C" NOT NULL,
    PRIMARY KEY (rev, number)
);

-- Identifiers that decide which call a leg belongs to.
CREATE TABLE call_keys (
    value   TEXT COLLATE "C" NOT NULL,
    kind    TEXT COLLATE "C" NOT NULL,
    account TEXT COLLATE "C" NOT NULL,
    call_id TEXT COLLATE "C" NOT NULL,
    PRIMARY KEY (value, kind, account)
);

-- Identifiers that people search by, and that join nothing.
CREATE TABLE call_links (
    value   TEXT COLLATE "C" NOT NULL,
    kind    TEXT COLLATE "C" NOT NULL,
    account TEXT COLLATE "C" NOT NULL,
    call_id TEXT COLLATE "C" NOT NULL,
    PRIMARY KEY (value, kind, account, call_id)
);
CREATE INDEX call_links_call ON call_links (call_id);

-- A call that turned out to be part of another, older one.
CREATE TABLE call_redirects (
    id      TEXT COLLATE "C" PRIMARY KEY,
    call_id TEXT COLLATE "C" NOT NULL
);

CREATE INDEX call_redirects_call ON call_redirects (call_id);

CREATE TABLE recordings (
    id            TEXT COLLATE "C" PRIMARY KEY,
    account       TEXT COLLATE "C" NOT NULL,
    provider      TEXT COLLATE "C" NOT NULL,
    kind          TEXT COLLATE "C" NOT NULL,
    source        TEXT COLLATE "C" NOT NULL,
    location      TEXT NOT NULL,
    leg_id        BIGINT NOT NULL,
    call_id       TEXT COLLATE "C" NOT NULL,
    state         TEXT COLLATE "C" NOT NULL,
    reason        TEXT NOT NULL DEFAULT '',
    object_key    TEXT COLLATE "C" NOT NULL DEFAULT '',
    size          BIGINT NOT NULL DEFAULT 0,
    sha256        TEXT COLLATE "C" NOT NULL DEFAULT '',
    media_type    TEXT COLLATE "C" NOT NULL DEFAULT '',
    audio_seconds BIGINT,
    created_at    BIGINT NOT NULL,
    wanted_at     BIGINT NOT NULL, -- since when we have been waiting for it
    archived_at   BIGINT,
    retain_until  BIGINT,
    attempts      BIGINT NOT NULL DEFAULT 0,
    -- When it is due; while leased, when the lease ends. NULL: it is settled, or
    -- waits for its account.
    next_try_at   BIGINT,
    last_error    TEXT NOT NULL DEFAULT '',
    host          TEXT COLLATE "C" NOT NULL,
    lease_token   TEXT COLLATE "C",
    UNIQUE (source, kind, account)
);
CREATE INDEX recordings_due ON recordings (next_try_at) WHERE next_try_at IS NOT NULL;
CREATE INDEX recordings_call ON recordings (call_id);
-- What is neither queued nor archived: few, and a person may ask for it.
CREATE INDEX recordings_settled ON recordings (state, account) WHERE next_try_at IS NULL AND state <> 'archived';

CREATE TABLE account_pauses (
    account   TEXT COLLATE "C" PRIMARY KEY,
    reason    TEXT NOT NULL,
    paused_at BIGINT NOT NULL
);

CREATE TABLE live_calls (
    account         TEXT COLLATE "C" NOT NULL,
    kind            TEXT COLLATE "C" NOT NULL,
    value           TEXT COLLATE "C" NOT NULL,
    direction       TEXT COLLATE "C" NOT NULL,
    state           TEXT COLLATE "C" NOT NULL,
    customer_number TEXT COLLATE "C" NOT NULL,
    business_number TEXT COLLATE "C" NOT NULL,
    agent_id        TEXT COLLATE "C" NOT NULL,
    agent_name      TEXT COLLATE "C" NOT NULL,
    agent_number    TEXT COLLATE "C" NOT NULL,
    group_name      TEXT COLLATE "C" NOT NULL,
    since           BIGINT,
    at              BIGINT,
    start_seen      BIGINT, -- the true start, if an event gave it
    updated_at      BIGINT NOT NULL,
    PRIMARY KEY (account, kind, value)
);

CREATE TABLE report_schedules (
    report     TEXT COLLATE "C" PRIMARY KEY,
    first_seen BIGINT NOT NULL
);

CREATE TABLE runs (
    id          TEXT COLLATE "C" PRIMARY KEY,
    report      TEXT COLLATE "C" NOT NULL,
    period_from BIGINT NOT NULL,
    period_to   BIGINT NOT NULL,
    zone        TEXT COLLATE "C" NOT NULL,
    state       TEXT COLLATE "C" NOT NULL,
    revision    BIGINT NOT NULL DEFAULT 0,
    as_of       BIGINT,
    input_hash  TEXT COLLATE "C" NOT NULL DEFAULT '',
    files       TEXT NOT NULL DEFAULT '[]',
    error       TEXT NOT NULL DEFAULT '',
    created_at  BIGINT NOT NULL,
    built_at    BIGINT,
    lease_token TEXT COLLATE "C",
    lease_until BIGINT,
    UNIQUE (report, period_from, period_to)
);

CREATE TABLE mails (
    id          TEXT COLLATE "C" PRIMARY KEY,
    run_id      TEXT COLLATE "C" NOT NULL REFERENCES runs (id),
    recipient   TEXT COLLATE "C" NOT NULL,
    message_id  TEXT COLLATE "C" NOT NULL,
    state       TEXT COLLATE "C" NOT NULL,
    detail      TEXT NOT NULL DEFAULT '',
    attempts    BIGINT NOT NULL,
    created_at  BIGINT NOT NULL,
    next_try_at BIGINT,
    sent_at     BIGINT,
    lease_until BIGINT,
    UNIQUE (run_id, recipient)
);
CREATE INDEX mails_state ON mails (state, next_try_at);

CREATE TABLE users (
    name          TEXT COLLATE "C" PRIMARY KEY,
    role          TEXT COLLATE "C" NOT NULL,
    user_groups   TEXT COLLATE "C" NOT NULL DEFAULT '[]',
    password_hash TEXT COLLATE "C" NOT NULL,
    created_at    BIGINT NOT NULL,
    disabled      BIGINT NOT NULL DEFAULT 0
);

CREATE TABLE tokens (
    name         TEXT COLLATE "C" PRIMARY KEY,
    role         TEXT COLLATE "C" NOT NULL,
    user_groups  TEXT COLLATE "C" NOT NULL DEFAULT '[]',
    hash         BYTEA NOT NULL UNIQUE,
    created_at   BIGINT NOT NULL,
    last_used_at BIGINT,
    disabled     BIGINT NOT NULL DEFAULT 0
);
