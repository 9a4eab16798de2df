-- +goose Up
-- A leg that left a call could found again what had become part of that call: then
-- the id is that of a call, and leads nowhere.
DELETE FROM call_redirects WHERE EXISTS (SELECT 1 FROM calls WHERE calls.id = call_redirects.id);

-- What came with an item, event or report, may have told a leg since when its call
-- rang: which leg, and which moment.
ALTER TABLE delivery_items ADD COLUMN told_leg BIGINT;
ALTER TABLE delivery_items ADD COLUMN told_from BIGINT;
