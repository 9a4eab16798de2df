-- +goose Up

-- By what reports that come later find the rows of call lists that are about
-- their legs (call.Leg.Traces).
CREATE TABLE list_traces (
    value   TEXT NOT NULL,
    account TEXT NOT NULL,
    leg_key TEXT NOT NULL,
    PRIMARY KEY (value, account, leg_key)
);

-- The rows of the providers' call lists, as they were last read.
CREATE TABLE listed_rows (
    account  TEXT NOT NULL,
    day      TEXT NOT NULL, -- of the account's zone, 2006-01-02
    row_key  TEXT NOT NULL,
    at       INTEGER,
    list     TEXT NOT NULL,
    call_id  TEXT NOT NULL, -- empty: not taken in
    named    INTEGER NOT NULL,           -- whether it names a recording
    recorded INTEGER NOT NULL,           -- whether it says that there is one
    seen_at  INTEGER NOT NULL,
    PRIMARY KEY (account, day, row_key)
);
CREATE INDEX listed_rows_call ON listed_rows (call_id);

-- How the list of each day was last read.
CREATE TABLE listed_days (
    account TEXT NOT NULL,
    day     TEXT NOT NULL,
    read_at INTEGER NOT NULL,
    error   TEXT NOT NULL, -- empty: to its end
    PRIMARY KEY (account, day)
);

-- One row for each account: its lease, and what the last backfill came to.
CREATE TABLE backfills (
    account     TEXT PRIMARY KEY,
    lease_token TEXT,
    lease_until INTEGER,
    next_at     INTEGER,
    started_at  INTEGER,
    ended_at    INTEGER,
    result      TEXT NOT NULL DEFAULT '' -- call.Backfill as JSON
);
