-- +goose Up

-- By what reports that come later find the rows of call lists that are about
-- their legs (call.Leg.Traces).
CREATE TABLE list_traces (
    value   TEXT COLLATE "C" NOT NULL,
    account TEXT COLLATE "C" NOT NULL,
    leg_key TEXT COLLATE "C" NOT NULL,
    PRIMARY KEY (value, account, leg_key)
);

-- The rows of the providers' call lists, as they were last read.
CREATE TABLE listed_rows (
    account  TEXT COLLATE "C" NOT NULL,
    day      TEXT COLLATE "C" NOT NULL, -- of the account's zone, 2006-01-02
    row_key  TEXT COLLATE "C" NOT NULL,
    at       BIGINT,
    list     TEXT COLLATE "C" NOT NULL,
    call_id  TEXT COLLATE "C" NOT NULL, -- empty: not taken in
    named    BIGINT NOT NULL,           -- whether it names a recording
    recorded BIGINT NOT NULL,           -- whether it says that there is one
    seen_at  BIGINT NOT NULL,
    PRIMARY KEY (account, day, row_key)
);
CREATE INDEX listed_rows_call ON listed_rows (call_id);

-- How the list of each day was last read.
CREATE TABLE listed_days (
    account TEXT COLLATE "C" NOT NULL,
    day     TEXT COLLATE "C" NOT NULL,
    read_at BIGINT NOT NULL,
    error   TEXT NOT NULL, -- empty: to its end
    PRIMARY KEY (account, day)
);

-- One row for each account: its lease, and what the last backfill came to.
CREATE TABLE backfills (
    account     TEXT COLLATE "C" PRIMARY KEY,
    lease_token TEXT COLLATE "C",
    lease_until BIGINT,
    next_at     BIGINT,
    started_at  BIGINT,
    ended_at    BIGINT,
    result      TEXT NOT NULL DEFAULT '' -- call.Backfill as JSON
);
