-- +goose Up
-- Who is reached at a number, as a provider's own list says.
CREATE TABLE members (
    account TEXT NOT NULL,
    number  TEXT NOT NULL,
    name    TEXT NOT NULL,
    PRIMARY KEY (account, number)
) WITHOUT ROWID;

-- When a node last asked for an account's list.
CREATE TABLE member_lists (
    account  TEXT PRIMARY KEY,
    asked_at INTEGER NOT NULL
) WITHOUT ROWID;
