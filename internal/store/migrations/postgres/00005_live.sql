-- +goose Up
-- What the events of each leg told, as a JSON array of call.LiveLeg; the other
-- columns follow from it.
ALTER TABLE live_calls ADD COLUMN legs TEXT NOT NULL DEFAULT '';
ALTER TABLE live_calls ADD COLUMN state_since BIGINT;
