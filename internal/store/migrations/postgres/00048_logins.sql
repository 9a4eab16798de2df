-- +goose Up
-- Of each user only so many sessions are kept, the newest.
CREATE INDEX sessions_of_user ON sessions (user_name, logged_in_at);

-- The networks from which users have logged in lately (one IPv4 address, or an
-- IPv6 /64): from there strangers' wrong passwords keep nobody out.
CREATE TABLE login_networks (
    user_name    TEXT COLLATE "C" NOT NULL,
    network      TEXT COLLATE "C" NOT NULL,
    logged_in_at BIGINT NOT NULL,
    PRIMARY KEY (user_name, network)
);
CREATE INDEX login_networks_ageing ON login_networks (logged_in_at);
