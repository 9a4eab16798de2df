-- +goose Up
-- Who is logged in to the console's pages. Of a session's token only the SHA-256
-- is here. user_mark is a hash of what the login rests on (password, role, groups):
-- with any of these the session ends, too.
CREATE TABLE sessions (
    hash         BYTEA PRIMARY KEY,
    user_name    TEXT COLLATE "C" NOT NULL,
    user_mark    BYTEA NOT NULL,
    logged_in_at BIGINT NOT NULL,
    expires_at   BIGINT NOT NULL
);
CREATE INDEX sessions_expiring ON sessions (expires_at);
