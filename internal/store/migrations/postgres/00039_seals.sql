-- +goose Up
-- 1: the seal is being put into the vault, or was when a server was killed. Only
-- the newest can be.
ALTER TABLE audit_seals ADD COLUMN being_put BIGINT NOT NULL DEFAULT 0;
