-- +goose Up
-- A call is asked for the erasures that it belongs to.
CREATE INDEX erasure_items_ref ON erasure_items (kind, ref);
