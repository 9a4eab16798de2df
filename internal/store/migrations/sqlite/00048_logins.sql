-- +goose Up
-- Of each user only so many sessions are kept, the newest.
CREATE INDEX sessions_of_user ON sessions (user_name, logged_in_at);

-- The networks from which users have logged in lately (one IPv4 address, or an
-- IPv6 /64): from there strangers' wrong passwords keep nobody out.
CREATE TABLE login_networks (
    user_name    TEXT NOT NULL,
    network      TEXT NOT NULL,
    logged_in_at INTEGER NOT NULL,
    PRIMARY KEY (user_name, network)
) WITHOUT ROWID;
CREATE INDEX login_networks_ageing ON login_networks (logged_in_at);
