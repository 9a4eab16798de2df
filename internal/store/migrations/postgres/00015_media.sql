-- +goose Up
-- What the bytes of a recording say of it, and when it is to be analysed.
CREATE TABLE recording_media (
    recording_id TEXT COLLATE "C" PRIMARY KEY,
    format       TEXT COLLATE "C" NOT NULL, -- empty: not known
    codec        TEXT COLLATE "C" NOT NULL,
    channels     BIGINT NOT NULL,
    sample_rate  BIGINT NOT NULL, -- Hz
    bit_rate     BIGINT NOT NULL, -- bit/s, the mean
    duration_ms  BIGINT NOT NULL,
    truncated    BIGINT NOT NULL, -- 1: the end is missing
    corrupt_ppm  BIGINT NOT NULL, -- share of bytes that are neither audio nor tags
    flags        TEXT COLLATE "C" NOT NULL, -- separated by blanks
    -- When it is due; while leased, when the lease ends. NULL: it is settled.
    analyse_at   BIGINT,
    tries        BIGINT NOT NULL DEFAULT 0,
    lease_token  TEXT COLLATE "C"
);
CREATE INDEX recording_media_due ON recording_media (analyse_at) WHERE analyse_at IS NOT NULL;
CREATE INDEX recording_media_truncated ON recording_media (recording_id) WHERE truncated = 1;

-- How a recording sounds.
CREATE TABLE recording_analyses (
    recording_id TEXT COLLATE "C" PRIMARY KEY,
    state        TEXT COLLATE "C" NOT NULL, -- analysed or not_analysed
    reason       TEXT NOT NULL,             -- why not
    silence_ppm  TEXT COLLATE "C" NOT NULL, -- of each channel, as a JSON array
    peaks        BYTEA NOT NULL,            -- of each channel as many, one byte each
    analysed_at  BIGINT NOT NULL
);

-- What was archived before is analysed too, and read for what it is.
INSERT INTO recording_media (recording_id, format, codec, channels, sample_rate, bit_rate, duration_ms, truncated, corrupt_ppm, flags, analyse_at)
SELECT id, '', '', 0, 0, 0, 0, 0, 0, '', coalesce(archived_at, created_at) FROM recordings WHERE state = 'archived';

-- When an account's recordings are ready after their calls ended.
CREATE TABLE readiness (
    account      TEXT COLLATE "C" PRIMARY KEY,
    weights      TEXT COLLATE "C" NOT NULL, -- of call.ReadyBounds, as a JSON array
    observations BIGINT NOT NULL,
    updated_at   BIGINT NOT NULL
);
-- When a recording was last asked for in vain.
ALTER TABLE recordings ADD COLUMN missed_at BIGINT;
