-- +goose Up
-- What the bytes of a recording say of it, and when it is to be analysed.
CREATE TABLE recording_media (
    recording_id TEXT PRIMARY KEY,
    format       TEXT NOT NULL, -- empty: not known
    codec        TEXT NOT NULL,
    channels     INTEGER NOT NULL,
    sample_rate  INTEGER NOT NULL, -- Hz
    bit_rate     INTEGER NOT NULL, -- bit/s, the mean
    duration_ms  INTEGER NOT NULL,
    truncated    INTEGER NOT NULL, -- 1: the end is missing
    corrupt_ppm  INTEGER NOT NULL, -- share of bytes that are neither audio nor tags
    flags        TEXT NOT NULL, -- separated by blanks
    -- When it is due; while leased, when the lease ends. NULL: it is settled.
    analyse_at   INTEGER,
    tries        INTEGER NOT NULL DEFAULT 0,
    lease_token  TEXT
) WITHOUT ROWID;
CREATE INDEX recording_media_due ON recording_media (analyse_at) WHERE analyse_at IS NOT NULL;
CREATE INDEX recording_media_truncated ON recording_media (recording_id) WHERE truncated = 1;

-- How a recording sounds.
CREATE TABLE recording_analyses (
    recording_id TEXT PRIMARY KEY,
    state        TEXT NOT NULL, -- analysed or not_analysed
    reason       TEXT NOT NULL,             -- why not
    silence_ppm  TEXT NOT NULL, -- of each channel, as a JSON array
    peaks        BLOB NOT NULL,            -- of each channel as many, one byte each
    analysed_at  INTEGER NOT NULL
);

-- What was archived before is analysed too, and read for what it is.
INSERT INTO recording_media (recording_id, format, codec, channels, sample_rate, bit_rate, duration_ms, truncated, corrupt_ppm, flags, analyse_at)
SELECT id, '', '', 0, 0, 0, 0, 0, 0, '', coalesce(archived_at, created_at) FROM recordings WHERE state = 'archived';

-- When an account's recordings are ready after their calls ended.
CREATE TABLE readiness (
    account      TEXT PRIMARY KEY,
    weights      TEXT NOT NULL, -- of call.ReadyBounds, as a JSON array
    observations INTEGER NOT NULL,
    updated_at   INTEGER NOT NULL
) WITHOUT ROWID;
-- When a recording was last asked for in vain.
ALTER TABLE recordings ADD COLUMN missed_at INTEGER;
