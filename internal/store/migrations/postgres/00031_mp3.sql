-- +goose Up
-- MP3 is decoded now: what was not analysed for being one is listened to again,
-- after all that is newer.
UPDATE recording_media SET analyse_at = 1, tries = 0, lease_token = NULL
WHERE recording_id IN (SELECT recording_id FROM recording_analyses WHERE state = 'not_analysed' AND reason = 'MP3 is not decoded');
DELETE FROM recording_analyses WHERE state = 'not_analysed' AND reason = 'MP3 is not decoded';
