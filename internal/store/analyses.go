package store

import (
	"context"
	"database/sql"
	"encoding/json"
	"fmt"
	"math"
	"time"

	"callvault/internal/audit"
	"callvault/internal/call"
)

// ClaimAnalysis claims the newest recording that is to be analysed, for lease;
// nil when there is none.
func (s *Store) ClaimAnalysis(ctx context.Context, lease time.Duration) (*call.AnalysisClaim, error) {
	var c call.AnalysisClaim
	var found bool
	token := newID()
	err := s.change(ctx, func(ctx context.Context, t *tx) error {
		found = false
		return t.later(ctx, statement{
			query: `UPDATE recording_media SET lease_token = ? || recording_id, analyse_at = {now} + ?, tries = tries + 1
				WHERE recording_id = (SELECT recording_id FROM recording_media WHERE analyse_at <= {now}
					ORDER BY analyse_at DESC LIMIT 1 {skip locked})
				RETURNING recording_id, lease_token, tries`,
			args: []any{token, lease.Milliseconds()},
			scan: func(r row) error {
				found = true
				return r.Scan(&c.ID, &c.LeaseToken, &c.Tries)
			},
		})
	})
	if err == nil && found {
		c.Recording, err = s.Recording(ctx, c.ID)
	}
	if err != nil {
		return nil, fmt.Errorf("claim a recording to analyse: %w", err)
	}
	if !found {
		return nil, nil //nolint:nilnil // there is nothing to do
	}
	return &c, nil
}

const whereAnalysing = " WHERE recording_id = ? AND lease_token = ?"

// ReleaseAnalysis lets the recording be claimed again after delay. It was no
// try if it was given back for the sake of others.
func (s *Store) ReleaseAnalysis(ctx context.Context, leaseToken string, delay time.Duration, tried bool) error {
	back := 1
	if tried {
		back = 0
	}
	return s.settleAnalysis(ctx, "give a recording back that was to be analysed",
		"analyse_at = {now} + ?, lease_token = NULL, tries = tries - ?", leaseToken, delay.Milliseconds(), back)
}

// DropAnalysis takes a recording out of the queue that is not there any more.
func (s *Store) DropAnalysis(ctx context.Context, leaseToken string) error {
	return s.settleAnalysis(ctx, "drop an analysis", "analyse_at = NULL, lease_token = NULL", leaseToken)
}

func (s *Store) settleAnalysis(ctx context.Context, what, set, leaseToken string, args ...any) error {
	n, err := s.update(ctx, "UPDATE recording_media SET "+set+whereAnalysing, append(args, leasedID(leaseToken), leaseToken)...)
	if err != nil {
		return fmt.Errorf("%s: %w", what, err)
	}
	if n == 0 {
		return errLeaseLost()
	}
	return nil
}

// MarkAnalysed keeps how a recording sounds, unless it has gone meanwhile, and,
// where nobody had read that yet, what it is. A call.Conflict error says that the lease was lost.
func (s *Store) MarkAnalysed(ctx context.Context, leaseToken string, a call.Analysis, m call.Media) error {
	silence := make([]int64, len(a.Silence))
	for i, share := range a.Silence {
		silence[i] = int64(math.Round(share * perMillion))
	}
	text, err := json.Marshal(silence)
	if err != nil {
		return fmt.Errorf("keep an analysis: %w", err)
	}
	peaks := []byte{} // not NULL
	for _, channel := range a.Peaks {
		peaks = append(peaks, channel...)
	}
	id, facts := leasedID(leaseToken), mediaFacts(m)
	var marked int64
	err = s.change(ctx, func(ctx context.Context, t *tx) error {
		marked = 0
		err := t.later(ctx, statement{what: "keep an analysis", query: `INSERT INTO recording_analyses (recording_id, state, reason, silence_ppm, peaks, analysed_at)
			SELECT recording_id, CAST(? AS TEXT), CAST(? AS TEXT), CAST(? AS TEXT), ?, {now} FROM recording_media` + whereAnalysing + `
				AND EXISTS (SELECT 1 FROM recordings WHERE id = recording_id AND state = 'archived')
			ON CONFLICT (recording_id) DO UPDATE SET state = excluded.state, reason = excluded.reason,
				silence_ppm = excluded.silence_ppm, peaks = excluded.peaks, analysed_at = excluded.analysed_at`,
			args: []any{string(a.State), a.Reason, string(text), peaks, id, leaseToken}})
		if err != nil {
			return err
		}
		if err := t.fillMedia(ctx, leaseToken, facts); err != nil {
			return err
		}
		return t.later(ctx, statement{query: "UPDATE recording_media SET analyse_at = NULL, lease_token = NULL" + whereAnalysing,
			args: []any{id, leaseToken}, affected: &marked})
	})
	if err != nil {
		return fmt.Errorf("keep an analysis: %w", err)
	}
	if marked == 0 {
		return errLeaseLost()
	}
	return nil
}

// fillMedia says of a recording that was archived before anybody read it what
// it is.
func (t *tx) fillMedia(ctx context.Context, leaseToken string, m *audit.MediaFacts) error {
	if m.Format == "" {
		return nil
	}
	return t.exec(ctx, `UPDATE recording_media SET format = ?, codec = ?, channels = ?, sample_rate = ?, bit_rate = ?,
		duration_ms = ?, truncated = ?, corrupt_ppm = ?, flags = ?`+whereAnalysing+" AND format = ''",
		append(mediaArgs(m), leasedID(leaseToken), leaseToken)...)
}

// Analysis returns how a recording sounds; pending while nobody has listened.
func (s *Store) Analysis(ctx context.Context, recordingID string) (call.Analysis, error) {
	a := call.Analysis{State: call.AnalysisPending}
	err := s.each(ctx, "SELECT state, reason, silence_ppm, peaks, analysed_at FROM recording_analyses WHERE recording_id = ?",
		[]any{recordingID}, func(rows *sql.Rows) error {
			var silence []int64
			var peaks []byte
			if err := rows.Scan(&a.State, &a.Reason, jsonInto{&silence}, &peaks, timeInto{&a.AnalysedAt}); err != nil {
				return err
			}
			for i, ppm := range silence {
				a.Silence = append(a.Silence, float64(ppm)/perMillion)
				each := len(peaks) / len(silence)
				a.Peaks = append(a.Peaks, peaks[i*each:(i+1)*each])
			}
			return nil
		})
	if err != nil {
		return call.Analysis{}, fmt.Errorf("read an analysis: %w", err)
	}
	return a, nil
}
