-- +goose Up
-- GSM and MP3 of every sampling rate are decoded now: what was not analysed for
-- being such is listened to again, after all that is newer.
UPDATE recording_media SET analyse_at = 1, tries = 0, lease_token = NULL
WHERE recording_id IN (SELECT recording_id FROM recording_analyses WHERE state = 'not_analysed' AND (
    reason IN ('gsm_ms is not decoded', 'MP3 at 22.05 kHz is not decoded') OR reason LIKE 'MP3 at % kHz (MPEG 2.5) is not decoded'
    OR recording_id IN (SELECT id FROM recordings WHERE media_type = 'audio/gsm')));
DELETE FROM recording_analyses WHERE state = 'not_analysed' AND (
    reason IN ('gsm_ms is not decoded', 'MP3 at 22.05 kHz is not decoded') OR reason LIKE 'MP3 at % kHz (MPEG 2.5) is not decoded'
    OR recording_id IN (SELECT id FROM recordings WHERE media_type = 'audio/gsm'));
