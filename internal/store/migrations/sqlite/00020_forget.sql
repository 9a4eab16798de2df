-- +goose Up
-- A body may be that of several deliveries. Of its hash the beginning is enough
-- to find them, and keeps the index small.
CREATE INDEX deliveries_body ON deliveries (substr(body_sha256, 1, 4));
