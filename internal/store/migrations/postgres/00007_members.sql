-- +goose Up
-- Who is reached at a number, as a provider's own list says.
CREATE TABLE members (
    account TEXT COLLATE "C" NOT NULL,
    number  TEXT COLLATE "C" NOT NULL,
    name    TEXT COLLATE "C" NOT NULL,
    PRIMARY KEY (account, number)
);

-- When a node last asked for an account's list.
CREATE TABLE member_lists (
    account  TEXT COLLATE "C" PRIMARY KEY,
    asked_at BIGINT NOT NULL
);
