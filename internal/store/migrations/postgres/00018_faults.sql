-- +goose Up
-- What was found not to be as it was kept. Of each kind and place one is open.
CREATE TABLE faults (
    id         TEXT COLLATE "C" PRIMARY KEY,
    kind       TEXT COLLATE "C" NOT NULL,
    place      TEXT COLLATE "C" NOT NULL,
    what       TEXT NOT NULL,
    first_seen BIGINT NOT NULL,
    last_seen  BIGINT NOT NULL,
    closed_at  BIGINT
);
CREATE UNIQUE INDEX faults_open ON faults (place, kind) WHERE closed_at IS NULL;
CREATE INDEX faults_seen ON faults (first_seen, id);

-- How far the rolling scrub is, one row; see call.Scrub.
CREATE TABLE scrub (
    id          BIGINT PRIMARY KEY CHECK (id = 1),
    lease_token TEXT COLLATE "C" NOT NULL,
    lease_until BIGINT NOT NULL,
    began_at    BIGINT NOT NULL,
    part        TEXT COLLATE "C" NOT NULL,
    next        TEXT COLLATE "C" NOT NULL,
    done        BIGINT NOT NULL,
    total       BIGINT NOT NULL
);
