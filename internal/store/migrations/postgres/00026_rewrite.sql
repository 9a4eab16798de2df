-- +goose Up
-- Which of the objects of a segment counts: 0 is the one that was written first,
-- later ones have something less.
ALTER TABLE journal_segments ADD COLUMN revision BIGINT NOT NULL DEFAULT 0;

-- Objects of segments that do not count: one that is to be put is planned first,
-- so that none is forgotten after a crash; an old one is deleted as soon as that
-- can be.
CREATE TABLE journal_objects (
    number     BIGINT NOT NULL,
    revision   BIGINT NOT NULL,
    object_key TEXT COLLATE "C" NOT NULL,
    state      TEXT COLLATE "C" NOT NULL, -- planned or old
    sha256     TEXT COLLATE "C" NOT NULL DEFAULT '',
    size       BIGINT NOT NULL DEFAULT 0,
    until_at   BIGINT, -- when the vault's lock on an old one ends
    PRIMARY KEY (number, revision)
);

-- How often rows were erased that the journal may just be reading.
ALTER TABLE journal ADD COLUMN erased BIGINT NOT NULL DEFAULT 0;
