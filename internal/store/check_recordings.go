package store

import (
	"bytes"
	"context"
	"database/sql"
	"encoding/json"
	"fmt"
	"slices"
	"time"

	"callvault/internal/audit"
	"callvault/internal/call"
)

// This file compares the rows of recordings with the log, with the legs that name
// them, and with what the queue would ever make of them.

// namedByLeg says in SQL how a leg of its call names a recording: 2 as the row has
// it, with where its audio lies; 1 otherwise, as far as this sees; 0 not at all. The
// log tells of neither source nor location. Nobody knows of an erased leg. What JSON
// spells otherwise is not looked for.
const namedByLeg = `CASE WHEN EXISTS (SELECT 1 FROM legs l WHERE l.call_id = recordings.call_id
		AND (replace(l.facts, '{"kind":"' || recordings.kind || '","source":"' || recordings.source || CASE recordings.location WHEN '' THEN '"}' ELSE '","location":"' || recordings.location || '"}' END, '') <> l.facts
			OR l.facts LIKE '%"erased":true%')) THEN 2
	WHEN source LIKE '%"%' OR source LIKE '%\%' ESCAPE '!' OR EXISTS (SELECT 1 FROM legs l WHERE l.call_id = recordings.call_id
		AND replace(l.facts, '"source":"' || recordings.source || '"', '') <> l.facts) THEN 1 ELSE 0 END`

// ofItsLeg says in SQL whether a recording is of the call of its leg.
const ofItsLeg = `CASE WHEN EXISTS (SELECT 1 FROM legs WHERE legs.id = recordings.leg_id AND legs.call_id = recordings.call_id) THEN 1 ELSE 0 END`

// How a recording stands in the queue, and may not.
const (
	queuedSettled = 1 + iota // it is settled, and to be tried
	queuedNever              // it is wanted, its account is not paused, and nobody tries it
	queuedLate               // it is to be tried later than anybody would
	queuedUnborn             // it is wanted since before anybody told of it, or since a time to come
)

// clocksApart is how far clocks of nodes and database may be apart, in
// milliseconds.
const clocksApart = int64(time.Hour / time.Millisecond)

// queuedWrong says in SQL which of the above holds; 0: none.
func queuedWrong() string {
	return fmt.Sprintf(`CASE WHEN state <> 'pending' AND next_try_at IS NOT NULL THEN %d WHEN state <> 'pending' THEN 0
		WHEN next_try_at IS NULL AND account NOT IN (SELECT account FROM account_pauses) THEN %d
		WHEN next_try_at > {now} + %d THEN %d
		WHEN wanted_at > {now} + %d OR wanted_at < created_at - %d THEN %d ELSE 0 END`,
		queuedSettled, queuedNever, call.LongestWait.Milliseconds(), queuedLate, clocksApart, clocksApart, queuedUnborn)
}

// rowWith is a row with more columns than whoever scans it knows of.
type rowWith struct {
	row
	more []any
}

// Scan implements row.
func (r rowWith) Scan(dest ...any) error { return r.row.Scan(append(dest, r.more...)...) }

// checkedRecording is what is looked at of a recording's row beside what the log
// tells of.
type checkedRecording struct {
	named, ofItsLeg, queued int
	account                 string
	state                   call.RecordingState
	wanted                  call.Wanted
	callID                  string
	media                   mediaRow
}

func (c *checkedRecording) fields() []any {
	return append([]any{&c.named, &c.ofItsLeg, &c.queued, &c.account, &c.state, &c.wanted.Kind, &c.wanted.Source, &c.wanted.Location, &c.callID}, c.media.fields()...)
}

// recordingRows reads recordings; one that no leg of its call names has a source
// that differs from all that are told.
func recordingRows(ctx context.Context, s *Store, where string, args ...any) ([]*loggedRow, error) {
	var all []*checkedRecording
	query := "SELECT " + auditedRecording + ", " + namedByLeg + ", " + ofItsLeg + ", " + queuedWrong() + ", account, state, kind, source, location, call_id" + mediaColumns + " FROM recordings" + mediaJoin
	rows, err := entryRows(query, func(r row) (audit.Entry, error) {
		is := &checkedRecording{}
		all = append(all, is)
		return recordingEntry("", is.media.facts)(rowWith{r, is.fields()})
	})(ctx, s, where, args...)
	if err != nil {
		return nil, err
	}
	for i, r := range rows {
		if all[i].named == 0 {
			r.set("source", json.RawMessage(`"?"`))
		}
		if r.wrong, err = s.wrongRecording(ctx, all[i]); err != nil {
			return nil, err
		}
	}
	return rows, nil
}

// wrongRecording says what is wrong with a row, whatever the log tells of it.
func (s *Store) wrongRecording(ctx context.Context, r *checkedRecording) (string, error) {
	switch {
	case r.ofItsLeg == 0:
		return "it is not of the call of its leg", nil
	case r.queued == queuedSettled:
		return "it is " + string(r.state) + ", and its row says when it is to be fetched again", nil
	case r.queued == queuedLate:
		return "its row lets it be tried later than the queue ever does", nil
	case r.queued == queuedUnborn:
		return "its row says that it is wanted since before anybody told of it, or since a time to come", nil
	case r.queued == queuedNever:
		changing, err := s.isPauseFresh(ctx, r.account)
		if changing || err != nil {
			return "", err
		}
		return "it is wanted, its account is not paused, and its row says that nobody is to fetch it; a server that starts does", nil
	case r.named == 2:
		return "", nil
	case r.state != call.Pending && (r.named == 0 || r.wanted.Location == ""):
		return "", nil // its source is compared with what is told; an erasure that failed has forgotten the location, too
	}
	named, err := s.isNamed(ctx, r)
	if named || err != nil {
		return "", err
	}
	return "no leg names it as its row does: its kind, or where its audio was last found, is another", nil
}

// isPauseFresh reports whether an account was paused or woken within the hour: its
// recordings follow some at a time.
func (s *Store) isPauseFresh(ctx context.Context, account string) (bool, error) {
	subject := "account/" + account
	last, err := s.lastEntries(ctx, []string{subject}, audit.AccountPaused, audit.AccountWoken)
	return time.Since(last[subject].At) < time.Hour, err
}

// isNamed reports whether a leg names a recording as its row does: one of its call,
// or, because one file may be told of in two calls, another of its account. Of calls
// where none tells where the audio lies the row must not do so either.
func (s *Store) isNamed(ctx context.Context, r *checkedRecording) (named bool, err error) {
	look := func(where string, args ...any) error {
		return s.each(ctx, "SELECT facts FROM legs WHERE "+where, args, func(rows *sql.Rows) error {
			var l struct {
				Recordings []call.Wanted `json:"recordings"`
			}
			var facts string
			if err := rows.Scan(&facts); err != nil {
				return err
			}
			// What cannot be read is told of as a leg.
			named = named || json.Unmarshal([]byte(facts), &l) == nil && slices.Contains(l.Recordings, r.wanted)
			return nil
		})
	}
	if err := look("call_id = ?", r.callID); err != nil || named {
		return named, err
	}
	source, err := json.Marshal(r.wanted.Source)
	if err != nil {
		return false, err
	}
	return named, look("account = ? AND replace(facts, ?, '') <> facts", r.account, `"source":`+string(source))
}

func checkRecordingRow(ctx context.Context, s *Store, row *loggedRow, last audit.Entry, differ []string) (string, bool, error) {
	// A report that came later wakes it, and retries leave no entry.
	if (last.Action == audit.RecordingAbsent || last.Action == audit.RecordingWoken) && row.text("state") == string(call.Pending) {
		return "", true, nil
	}
	differ = slices.DeleteFunc(slices.Clone(differ), func(field string) bool { return untoldOfRecording(row, last, field) })
	if len(differ) == 0 {
		what, err := s.otherMedia(ctx, row, last)
		return what, true, err
	}
	if only(differ, "source") {
		if row.field("source") == nil {
			return "", true, nil // entries of an earlier version have it
		}
		erased, err := s.isErased(ctx, call.ErasedCall, row.text("call_id"))
		return "", erased, err
	}
	what, err := s.otherMedia(ctx, row, last)
	return what, false, err
}

// untoldOfRecording reports whether an entry does not tell a field, for it is of an
// earlier version.
func untoldOfRecording(row *loggedRow, last audit.Entry, field string) bool {
	var told audit.RecordingFacts
	if json.Unmarshal(last.Facts, &told) != nil {
		return false // the check of the log names the entry
	}
	switch field {
	case "rule_until": // without one there is no DueAt
		return told.RuleUntil.IsZero() && !told.DueAt.IsZero()
	case "blocked_by", "blocked_until":
		return last.Action == audit.RecordingKept && told.BlockedBy == "" && row.text("blocked_by") != ""
	}
	return false
}

// otherMedia compares what is known of the audio of an archived recording with what
// the log told when it was archived. If that was nothing, it was found out later.
func (s *Store) otherMedia(ctx context.Context, row *loggedRow, last audit.Entry) (string, error) {
	if bytes.Equal(row.facts, last.Facts) || row.text("state") != string(call.Archived) {
		return "", nil
	}
	if last.Action != audit.RecordingArchived {
		entries, err := s.lastEntries(ctx, []string{last.Subject}, audit.RecordingArchived)
		if err != nil {
			return "", err
		}
		last = entries[last.Subject]
	}
	var facts audit.RecordingFacts
	if json.Unmarshal(last.Facts, &facts) != nil || facts.Media == nil || facts.Media.Format == "" {
		return "", nil //nolint:nilerr // the check of the log names the entry
	}
	told, err := json.Marshal(facts.Media)
	if err != nil || bytes.Equal(told, row.field("media")) {
		return "", err
	}
	return "what is known of its audio is not what the log told when it was archived", nil
}
