-- +goose Up
-- A leg that left a call could found again what had become part of that call: then
-- the id is that of a call, and leads nowhere.
DELETE FROM call_redirects WHERE EXISTS (SELECT 1 FROM calls WHERE calls.id = call_redirects.id);

-- What came with an item, event or report, may have told a leg since when its call
-- rang: which leg, which moment, and which delivery has the event that tells it.
ALTER TABLE delivery_items ADD COLUMN told_leg INTEGER;
ALTER TABLE delivery_items ADD COLUMN told_from INTEGER;
ALTER TABLE delivery_items ADD COLUMN told_by INTEGER;
-- The delivery that told start_seen.
ALTER TABLE live_calls ADD COLUMN start_by INTEGER;
