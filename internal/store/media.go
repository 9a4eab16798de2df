package store

import (
	"cmp"
	"context"
	"database/sql"
	"fmt"
	"math"
	"strings"
	"time"

	"callvault/internal/audit"
	"callvault/internal/call"
)

// mediaColumns are read beside recordingColumns, from mediaJoin; NULL where
// nothing was written down.
const (
	mediaColumns = `, format, codec, channels, sample_rate, bit_rate, duration_ms, truncated, corrupt_ppm, flags`
	mediaJoin    = " LEFT JOIN recording_media ON recording_media.recording_id = recordings.id"
)

// perMillion is the unit in which shares are stored.
const perMillion = 1e6

// mediaRow is a row of recording_media as it is scanned.
type mediaRow struct {
	format, codec, flags                     sql.NullString
	channels, rate, bits, duration, cut, bad sql.NullInt64
}

func (m *mediaRow) fields() []any {
	return []any{&m.format, &m.codec, &m.channels, &m.rate, &m.bits, &m.duration, &m.cut, &m.bad, &m.flags}
}

func (m *mediaRow) media() call.Media {
	media := call.Media{
		Format: call.MediaFormat(m.format.String), Codec: m.codec.String, Channels: int(m.channels.Int64),
		SampleRate: int(m.rate.Int64), BitRate: int(m.bits.Int64), Duration: time.Duration(m.duration.Int64) * time.Millisecond,
		Truncated: m.cut.Int64 != 0, Corrupt: float64(m.bad.Int64) / perMillion,
	}
	for flag := range strings.FieldsSeq(m.flags.String) {
		media.Flags = append(media.Flags, call.MediaFlag(flag))
	}
	return media
}

// facts is the row as it is stored, nil if there is none.
func (m *mediaRow) facts() *audit.MediaFacts {
	if !m.format.Valid {
		return nil
	}
	return mediaFacts(m.media())
}

// mediaFacts is what bytes say of a recording as it is stored.
func mediaFacts(m call.Media) *audit.MediaFacts {
	flags := make([]string, len(m.Flags))
	for i, f := range m.Flags {
		flags[i] = string(f)
	}
	return &audit.MediaFacts{
		Format: string(m.Format), Codec: m.Codec, Channels: m.Channels, SampleRate: m.SampleRate, BitRate: m.BitRate,
		DurationMS: m.Duration.Milliseconds(), Truncated: m.Truncated,
		CorruptPPM: int64(math.Round(m.Corrupt * perMillion)), Flags: strings.Join(flags, " "),
	}
}

// mediaArgs are the values of mediaColumns.
func mediaArgs(m *audit.MediaFacts) []any {
	cut := 0
	if m.Truncated {
		cut = 1
	}
	return []any{m.Format, m.Codec, m.Channels, m.SampleRate, m.BitRate, m.DurationMS, cut, m.CorruptPPM, m.Flags}
}

// writeMedia writes down what a leased recording is. Whoever has lost the lease
// changes nothing.
func (t *tx) writeMedia(ctx context.Context, leaseToken string, m *audit.MediaFacts) error {
	return t.later(ctx, statement{
		what: "write down the media of a recording",
		query: `INSERT INTO recording_media (recording_id` + mediaColumns + `, analyse_at)
			SELECT id, ` + mediaValues + `, {now}
			FROM recordings` + whereLeased + `
			ON CONFLICT (recording_id) DO UPDATE SET ` + mediaSets,
		args: append(mediaArgs(m), leasedID(leaseToken), leaseToken),
	})
}

// mediaValues are the placeholders of mediaColumns. In a SELECT, PostgreSQL has
// to be told of what type they are.
const mediaValues = "CAST(? AS TEXT), CAST(? AS TEXT), CAST(? AS BIGINT), CAST(? AS BIGINT), CAST(? AS BIGINT), " +
	"CAST(? AS BIGINT), CAST(? AS BIGINT), CAST(? AS BIGINT), CAST(? AS TEXT)"

// mediaSets takes over a row that is written again.
const mediaSets = `format = excluded.format, codec = excluded.codec, channels = excluded.channels,
	sample_rate = excluded.sample_rate, bit_rate = excluded.bit_rate, duration_ms = excluded.duration_ms,
	truncated = excluded.truncated, corrupt_ppm = excluded.corrupt_ppm, flags = excluded.flags`

// audioFault is call.CompareAudio and Media.Truncated in SQL, as a condition on
// calls.
func (c *conditions) audioFault(fault call.AudioFault) error {
	tolerance := "CASE WHEN calls.talk_seconds / 10 > 5 THEN calls.talk_seconds / 10 ELSE 5 END"
	var differs string
	switch fault {
	case "":
		return nil
	case call.FaultTruncated:
		c.add(`id IN (SELECT r.call_id FROM recording_media m JOIN recordings r ON r.id = m.recording_id
			WHERE m.truncated = 1 AND r.state = 'archived')`)
		return nil
	case call.FaultShort:
		differs = "< calls.talk_seconds - " + tolerance
	case call.FaultLong:
		differs = "> calls.talk_seconds + " + tolerance
	default:
		return call.Errorf(call.Invalid, "audio is none of %v", call.AudioFaults())
	}
	c.add(`talk_seconds IS NOT NULL AND EXISTS (SELECT r.call_id FROM recordings r
		WHERE r.call_id = calls.id AND r.kind = 'conversation' GROUP BY r.call_id
		HAVING count(*) = count(CASE WHEN r.state = 'archived' THEN r.audio_seconds END)
			AND sum(r.audio_seconds) ` + differs + `)`)
	return nil
}

// MarkArchived says that the recording lies in the vault, and what it is.
func (s *Store) MarkArchived(ctx context.Context, leaseToken string, a call.Archiving) error {
	var marked int64
	actor, media := audit.ActorOf(ctx), mediaFacts(a.Media)
	err := s.changePatiently(ctx, func(ctx context.Context, t *tx) error {
		if err := t.writeMedia(ctx, leaseToken, media); err != nil {
			return err
		}
		return t.act(ctx, actor, `UPDATE recordings SET state = 'archived', lease_token = NULL, next_try_at = NULL, reason = '', last_error = '', archived_at = {now},
			object_key = ?, size = ?, sha256 = ?, stored_sha256 = ?, media_type = ?, audio_seconds = ?,
			rule = ?, rule_until = ?, retain_until = ?, due_at = ?`+whereLeased+" RETURNING "+auditedRecording,
			[]any{a.ObjectKey, a.Size, a.SHA256, cmp.Or(a.StoredSHA256, a.SHA256), a.MediaType, number(a.Media.AudioSeconds()),
				a.Rule, millis(a.RuleUntil), millis(a.RetainUntil), millis(a.DueAt()), leasedID(leaseToken), leaseToken},
			recordingEntry(audit.RecordingArchived, func() *audit.MediaFacts { return media }), &marked)
	})
	if err != nil {
		return fmt.Errorf("mark a recording archived: %w", err)
	}
	if marked == 0 {
		return errLeaseLost()
	}
	return nil
}
