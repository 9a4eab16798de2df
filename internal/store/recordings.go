package store

import (
	"context"
	"database/sql"
	"fmt"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"callvault/internal/audit"
	"callvault/internal/call"

	"github.com/google/uuid"
)

const recordingColumns = `id, call_id, account, provider, kind, source, location, state, reason, object_key, size, sha256,
	media_type, audio_seconds, created_at, archived_at, retain_until, attempts, next_try_at, last_error,
	CASE WHEN stored_sha256 = '' THEN sha256 ELSE stored_sha256 END, rule, due_at, expired_at, verified_at`

func recordingFields(r *call.Recording) []any {
	return []any{&r.ID, &r.CallID, &r.Account, &r.Provider, &r.Kind, &r.Source, &r.Location, &r.State, &r.Reason, &r.ObjectKey, &r.Size, &r.SHA256,
		&r.MediaType, &r.AudioSeconds, timeInto{&r.CreatedAt}, timeInto{&r.ArchivedAt}, timeInto{&r.RetainUntil}, &r.Attempts, timeInto{&r.NextTryAt}, &r.LastError,
		&r.StoredSHA256, &r.Rule, timeInto{&r.DueAt}, timeInto{&r.ExpiredAt}, timeInto{&r.VerifiedAt}}
}

// auditedRecording are the columns that recordingEntry makes an entry of.
const auditedRecording = "wanted_at, rule_until, blocked_by, blocked_until, " + recordingColumns

// recordingEntry makes entries of rows; media says, once a row is read, what is
// known of its audio, and nil that the entry is not to tell.
func recordingEntry(action audit.Action, media func() *audit.MediaFacts) func(row) (audit.Entry, error) {
	return func(rows row) (audit.Entry, error) {
		_, entry, err := scanAudited(rows, action, media)
		return entry, err
	}
}

// scanAudited reads a recording after an act, and makes the entry about it, as
// recordingEntry does.
func scanAudited(rows row, action audit.Action, media func() *audit.MediaFacts) (call.Recording, audit.Entry, error) {
	var r call.Recording
	var f audit.RecordingFacts
	if err := rows.Scan(append([]any{timeInto{&f.WantedAt}, timeInto{&f.RuleUntil}, &f.BlockedBy, timeInto{&f.BlockedUntil}}, recordingFields(&r)...)...); err != nil {
		return r, audit.Entry{}, err
	}
	if media != nil {
		f.Media = media()
	}
	entry, err := audit.New(action, "recording/"+r.ID, audit.RecordingFacts{
		ID: r.ID, CallID: r.CallID, Account: r.Account, Provider: string(r.Provider), Kind: string(r.Kind),
		State: string(r.State), Reason: r.Reason, ObjectKey: r.ObjectKey, Size: r.Size, SHA256: r.SHA256, StoredSHA256: r.StoredSHA256, MediaType: r.MediaType,
		AudioSeconds: r.AudioSeconds, CreatedAt: r.CreatedAt, WantedAt: f.WantedAt, ArchivedAt: r.ArchivedAt, RetainUntil: r.RetainUntil,
		Rule: r.Rule, DueAt: r.DueAt, RuleUntil: f.RuleUntil, BlockedBy: f.BlockedBy, BlockedUntil: f.BlockedUntil, ExpiredAt: r.ExpiredAt, Attempts: r.Attempts, LastError: r.LastError, Media: f.Media,
	})
	return r, entry, err
}

// recordingRow is how recordings are read, with what their bytes say of them.
const recordingRow = "SELECT " + recordingColumns + mediaColumns + " FROM recordings" + mediaJoin

func scanRecording(rows *sql.Rows, r *call.Recording) error {
	var media mediaRow
	err := rows.Scan(append(recordingFields(r), media.fields()...)...)
	r.Media = media.media()
	return err
}

// wantRecordings queues the recordings that changed legs name. One that was
// given up wakes; one that is archived or refused stays as it is.
func (r *recorder) wantRecordings(ctx context.Context, changed []*leg) error {
	type wantedRow struct {
		call.Wanted
		leg *leg
		due any
	}
	var rows []wantedRow
	seen := map[recordingKey]bool{}
	for _, l := range changed {
		for _, w := range l.Recordings {
			if l.moved {
				// Also where another leg, which names it too, stands before
				// this one in the rows.
				err := r.tx.exec(ctx, "UPDATE recordings SET call_id = ? WHERE source = ? AND kind = ? AND account = ? AND leg_id = ?",
					l.callID, w.Source, string(w.Kind), l.Account, l.id)
				if err != nil {
					return fmt.Errorf("move recordings: %w", err)
				}
			}
			if l.before != nil && l.callID == l.callWas && slices.Contains(l.before.Recordings, w) {
				continue // to read a report again is no news of its recording
			}
			k := recordingKey{l.Account, w.Kind, w.Source}
			if !seen[k] {
				seen[k] = true
				rows = append(rows, wantedRow{Wanted: w, leg: l})
			}
		}
	}
	if len(rows) == 0 {
		return nil
	}
	if r.paused == nil {
		if err := r.askPaused(ctx); err != nil {
			return err
		}
		if err := r.tx.flush(ctx); err != nil {
			return err
		}
	}
	// One that is woken is told of in the log. Of a new call nobody gave up any.
	var known []wantedAgain
	for _, w := range rows {
		if !w.leg.isNew || !r.state(w.leg.callID).isNew {
			known = append(known, wantedAgain{w.leg.Account, w.Wanted})
		}
	}
	if err := r.wake(ctx, known); err != nil {
		return err
	}
	now := r.now.UnixMilli()
	for i := range rows {
		if !r.paused[rows[i].leg.Account] {
			rows[i].due = r.firstTries.due(rows[i].leg.Account, rows[i].leg.EndedAt, r.now).UnixMilli()
		}
	}
	return insertMany(ctx, r.tx, "queue recordings", `INSERT INTO recordings (id, account, provider, kind, source, location, leg_id, call_id, state,
		created_at, wanted_at, next_try_at, host)`, "ttttttittiiit",
		` ON CONFLICT (source, kind, account) DO UPDATE SET
			location = CASE WHEN excluded.location = '' THEN recordings.location ELSE excluded.location END,
			attempts = CASE WHEN recordings.state = 'absent' THEN 0 ELSE recordings.attempts END,
			wanted_at = CASE WHEN recordings.state = 'absent' THEN excluded.wanted_at ELSE recordings.wanted_at END,
			next_try_at = CASE WHEN recordings.state = 'absent' THEN excluded.next_try_at ELSE recordings.next_try_at END,
			reason = CASE WHEN recordings.state = 'absent' THEN '' ELSE recordings.reason END,
			state = CASE WHEN recordings.state = 'absent' THEN 'pending' ELSE recordings.state END`, rows,
		func(w wantedRow, args []any) []any {
			o := r.originOf(w.leg.Account, w.Wanted)
			return append(args, o.id, w.leg.Account, string(w.leg.Provider), string(w.Kind), w.Source, w.Location, w.leg.id, w.leg.callID,
				string(call.Pending), o.at.UnixMilli(), now, w.due, recordingHost(w.leg.Account, w.Source))
		})
}

// wantedAgain is a recording that a report names again.
type wantedAgain struct {
	account string
	call.Wanted
}

// wakeRecordings lets those that were given up and are named again begin anew,
// as wantRecordings does for changed legs: a report that tells nothing else
// still says that there is a recording.
func (r *recorder) wakeRecordings(ctx context.Context) error { return r.wake(ctx, r.again) }

func (r *recorder) wake(ctx context.Context, again []wantedAgain) error {
	entry := recordingEntry(audit.RecordingWoken, nil)
	return r.tx.selectAudited(ctx, "wake recordings", `UPDATE recordings SET state = 'pending', reason = '', attempts = 0, wanted_at = {now},
			next_try_at = CASE WHEN account IN (SELECT account FROM account_pauses) THEN NULL
				ELSE {now} + `+strconv.FormatInt(r.firstTries.after.Milliseconds(), 10)+` END
		WHERE state = 'absent' AND (source, kind, account) IN ({rows}) RETURNING `+auditedRecording, again, func(rows row) error {
		e, err := entry(rows)
		if err != nil {
			return err
		}
		e.Reason, e.Actor = "a report names it again", audit.Actor{Kind: audit.KindSystem}
		return r.tx.audit(ctx, e)
	})
}

// askPaused asks for the paused accounts, which are known after the next flush.
func (r *recorder) askPaused(ctx context.Context) error {
	r.paused = map[string]bool{}
	return r.tx.later(ctx, statement{what: "read paused accounts", query: "SELECT account FROM account_pauses", scan: func(rows row) error {
		var account string
		err := rows.Scan(&account)
		r.paused[account] = true
		return err
	}})
}

// recordingHost is whom a fetch burdens: the host of a URL, or the account's
// own API for a file name.
func recordingHost(account, source string) string {
	if strings.Contains(source, "://") {
		if u, err := url.Parse(source); err == nil && u.Host != "" {
			return u.Host
		}
	}
	return "account:" + account
}

// ClaimRecordings claims due recordings for a worker, the longest due first.
// Each claim counts as an attempt and holds for the lease, by the database's
// clock. Recordings of paused accounts are not due.
//
// The limit stands in the text: SQLite plans a statement anew each time that a
// parameter in LIMIT changes.
func (s *Store) ClaimRecordings(ctx context.Context, o call.ClaimOptions) ([]call.Claim, error) {
	var claims []call.Claim
	token := newID()
	skip, skipArgs := "", []any{}
	for _, h := range o.SkipHosts {
		skip += ",?"
		skipArgs = append(skipArgs, h)
	}
	if skip != "" {
		skip = " AND host NOT IN (" + skip[1:] + ")"
	}
	rule, args, err := s.firstMatching(ctx, o.Rules)
	if err != nil {
		return nil, fmt.Errorf("claim recordings: %w", err)
	}
	// In the order of the text.
	args = slices.Concat([]any{token, o.Lease.Milliseconds(), o.RulesID}, skipArgs, args)
	err = s.change(ctx, func(ctx context.Context, t *tx) error {
		claims = claims[:0]
		return t.later(ctx, statement{query: `UPDATE recordings SET lease_token = ? || id, next_try_at = {now} + ?, attempts = attempts + 1, judged = ?
			WHERE id IN (SELECT id FROM recordings WHERE next_try_at <= {now}` + skip + `
				ORDER BY next_try_at LIMIT ` + strconv.Itoa(o.Limit) + ` {skip locked})
			RETURNING lease_token, host, wanted_at,
				(SELECT started_at FROM calls WHERE calls.id = recordings.call_id),
				(SELECT ended_at FROM calls WHERE calls.id = recordings.call_id), missed_at,
				coalesce((SELECT call_key FROM calls WHERE calls.id = recordings.call_id), ''),
				coalesce((SELECT ` + rule + ` FROM calls WHERE calls.id = recordings.call_id), -1), ` + recordingColumns,
			args: slices.Clone(args), scan: func(r row) error {
				var c call.Claim
				err := r.Scan(append([]any{&c.LeaseToken, &c.Host, timeInto{&c.WantedAt}, timeInto{&c.StartedAt}, timeInto{&c.EndedAt}, timeInto{&c.MissedAt}, &c.CallKey, &c.RuleIndex}, recordingFields(&c.Recording)...)...)
				c.LeaseUntil = c.NextTryAt
				claims = append(claims, c)
				return err
			}})
	})
	if err != nil {
		return nil, fmt.Errorf("claim recordings: %w", err)
	}
	return claims, nil
}

// errLeaseLost is what a worker gets whose lease another one has taken.
func errLeaseLost() error {
	return call.Errorf(call.Conflict, "another worker has taken this recording: the lease was lost")
}

// A lease token ends with the recording's id, so that the row is found by its
// primary key.
const whereLeased = " WHERE id = ? AND lease_token = ?"

func leasedID(leaseToken string) string {
	return leaseToken[max(0, len(leaseToken)-len(uuid.Nil.String())):]
}

// unlessPaused is a time to try again, unless the account was paused meanwhile.
const unlessPaused = "CASE WHEN account IN (SELECT account FROM account_pauses) THEN NULL ELSE {now} + ? END"

// mark changes the row that the lease token holds; a loser changes nothing and
// gets a call.Conflict error. An action is what the audit log says of it; what
// has none is no more than a try.
func (s *Store) mark(ctx context.Context, what string, action audit.Action, set, leaseToken string, args ...any) error {
	update := "UPDATE recordings SET " + set + whereLeased
	args = append(args, leasedID(leaseToken), leaseToken)
	actor := audit.ActorOf(ctx)
	var n int64
	err := s.changePatiently(ctx, func(ctx context.Context, t *tx) error {
		if action == "" {
			return t.later(ctx, statement{query: update, args: slices.Clone(args), affected: &n})
		}
		return t.act(ctx, actor, update+" RETURNING "+auditedRecording, args, recordingEntry(action, nil), &n)
	})
	if err != nil {
		return fmt.Errorf("%s: %w", what, err)
	}
	if n == 0 {
		return errLeaseLost()
	}
	return nil
}

// RenewLease lets a claim hold for lease from now on.
func (s *Store) RenewLease(ctx context.Context, leaseToken string, lease time.Duration) error {
	return s.mark(ctx, "renew a lease", "", "next_try_at = {now} + ?", leaseToken, lease.Milliseconds())
}

// ChooseObjectKey stores the key under which the recording will lie in the
// vault, unless one is stored already, and returns the one that counts. It is
// called before the PUT, so that a try after a crash uses the same key.
func (s *Store) ChooseObjectKey(ctx context.Context, leaseToken, key string) (string, error) {
	var chosen string
	var found bool
	err := s.changePatiently(ctx, func(ctx context.Context, t *tx) (err error) {
		found = false
		return t.later(ctx, statement{
			query: "UPDATE recordings SET object_key = CASE WHEN object_key = '' THEN ? ELSE object_key END" + whereLeased + " RETURNING object_key",
			args:  []any{key, leasedID(leaseToken), leaseToken},
			scan: func(r row) error {
				found = true
				return r.Scan(&chosen)
			},
		})
	})
	if err != nil {
		return "", fmt.Errorf("choose an object key: %w", err)
	}
	if !found {
		return "", errLeaseLost()
	}
	return chosen, nil
}

// MarkMissed is MarkPending for what was asked for and was not ready.
func (s *Store) MarkMissed(ctx context.Context, leaseToken string, delay time.Duration, lastError string) error {
	return s.mark(ctx, "mark a recording as not ready", "",
		"lease_token = NULL, missed_at = {now}, next_try_at = "+unlessPaused+", last_error = ?", leaseToken, delay.Milliseconds(), lastError)
}

// MarkPending lets the recording be tried again after delay.
func (s *Store) MarkPending(ctx context.Context, leaseToken string, delay time.Duration, lastError string) error {
	return s.mark(ctx, "mark a recording pending", "",
		"lease_token = NULL, next_try_at = "+unlessPaused+", last_error = ?", leaseToken, delay.Milliseconds(), lastError)
}

// MarkAbsent gives the recording up, until a later report names it again.
func (s *Store) MarkAbsent(ctx context.Context, leaseToken, reason string) error {
	return s.mark(ctx, "mark a recording absent", audit.RecordingAbsent,
		"state = 'absent', lease_token = NULL, next_try_at = NULL, reason = ?, last_error = ?", leaseToken, reason, reason)
}

// MarkRefused gives the recording up until a person decides otherwise.
func (s *Store) MarkRefused(ctx context.Context, leaseToken, reason string) error {
	return s.mark(ctx, "mark a recording refused", audit.RecordingRefused,
		"state = 'refused', lease_token = NULL, next_try_at = NULL, reason = ?, last_error = ?", leaseToken, reason, reason)
}

// ReleaseClaim gives the recording back untried.
func (s *Store) ReleaseClaim(ctx context.Context, leaseToken string) error {
	return s.mark(ctx, "release a recording", "",
		"lease_token = NULL, next_try_at = "+unlessPaused+", attempts = attempts - 1", leaseToken, 0)
}

// WakeRecording lets a recording be tried again that was given up or refused,
// as when its audio was found in the vault; woken is false if it is neither.
func (s *Store) WakeRecording(ctx context.Context, id string) (woken bool, err error) {
	n, err := s.act(ctx, `UPDATE recordings SET state = 'pending', reason = '', attempts = 0, wanted_at = {now}, next_try_at = {now}
		WHERE id = ? AND state IN ('absent', 'refused') RETURNING `+auditedRecording, []any{id}, recordingEntry(audit.RecordingWoken, nil))
	if err != nil {
		return false, fmt.Errorf("wake recording %s: %w", id, err)
	}
	return n > 0, nil
}

// backgroundRows is how many rows a background change touches at most in one
// transaction, so that ingest never waits long for it.
const backgroundRows = 500

// changeInSteps runs an UPDATE that touches at most backgroundRows rows (its
// last argument is that limit) until it touches none. An action is what the
// audit log says of each recording that it changes.
func (s *Store) changeInSteps(ctx context.Context, action audit.Action, update string, args ...any) error {
	for {
		args := append(slices.Clone(args), backgroundRows)
		var n int64
		var err error
		if action == "" {
			n, err = s.update(ctx, update, args...)
		} else {
			n, err = s.act(ctx, update+" RETURNING "+auditedRecording, args, recordingEntry(action, nil))
		}
		if err != nil || n == 0 {
			return err
		}
	}
}

// PauseAccount lets all pending recordings of the account wait, and those that
// are still to come, until WakeAccount.
func (s *Store) PauseAccount(ctx context.Context, account, reason string) error {
	_, err := s.act(ctx, `INSERT INTO account_pauses (account, reason, paused_at) VALUES (?, ?, {now})
		ON CONFLICT (account) DO UPDATE SET reason = excluded.reason WHERE account_pauses.reason <> excluded.reason
		RETURNING account, reason, paused_at`, []any{account, reason}, accountEntry(audit.AccountPaused))
	if err == nil {
		// Only while it is paused: another node may be waking it.
		err = s.changeInSteps(ctx, "", `UPDATE recordings SET next_try_at = NULL
			WHERE account IN (SELECT account FROM account_pauses) AND id IN
				(SELECT id FROM recordings WHERE state = 'pending' AND account = ? AND next_try_at IS NOT NULL LIMIT ?)`, account)
	}
	if err != nil {
		return fmt.Errorf("pause account %s: %w", account, err)
	}
	return nil
}

func accountEntry(action audit.Action) func(row) (audit.Entry, error) {
	return func(r row) (audit.Entry, error) {
		var f audit.AccountFacts
		if err := r.Scan(&f.Account, &f.Reason, timeInto{&f.PausedAt}); err != nil {
			return audit.Entry{}, err
		}
		return audit.New(action, "account/"+f.Account, f)
	}
}

// WakeAccount ends the account's pause: its pending recordings, and those that
// were refused because of its credentials, are due at once, and waited for as
// long as if they were new. It changes nothing for an account that waits for
// nothing, and may be called again when it was interrupted.
func (s *Store) WakeAccount(ctx context.Context, account string) error {
	_, err := s.act(ctx, "DELETE FROM account_pauses WHERE account = ? RETURNING account, reason, paused_at", []any{account}, accountEntry(audit.AccountWoken))
	for _, wake := range []struct {
		action     audit.Action
		set, where string
		args       []any
	}{
		{audit.RecordingWoken, "state = 'pending', reason = '', attempts = 0, ", "state = 'refused' AND next_try_at IS NULL AND state <> 'archived' AND reason = ?", []any{account, call.CredentialsRejected}},
		{"", "", "state = 'pending' AND next_try_at IS NULL AND state <> 'archived'", []any{account}},
	} {
		if err == nil {
			// Only while it is not paused: another node may be pausing it.
			err = s.changeInSteps(ctx, wake.action, "UPDATE recordings SET "+wake.set+`wanted_at = {now}, next_try_at = {now}
				WHERE account NOT IN (SELECT account FROM account_pauses) AND id IN
					(SELECT id FROM recordings WHERE account = ? AND `+wake.where+" LIMIT ?)", wake.args...)
		}
	}
	if err != nil {
		return fmt.Errorf("wake account %s: %w", account, err)
	}
	return nil
}

// PausedAccounts returns the paused accounts with the reasons.
func (s *Store) PausedAccounts(ctx context.Context) (map[string]string, error) {
	paused := map[string]string{}
	err := s.each(ctx, "SELECT account, reason FROM account_pauses", nil, func(rows *sql.Rows) error {
		var account, reason string
		err := rows.Scan(&account, &reason)
		paused[account] = reason
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("read paused accounts: %w", err)
	}
	return paused, nil
}

// QueueAnswers looks at the head of the queue, which costs the same however
// long it is.
func (s *Store) QueueAnswers(ctx context.Context) error {
	var next sql.NullInt64
	if err := s.read.QueryRowContext(ctx, "SELECT min(next_try_at) FROM recordings WHERE next_try_at IS NOT NULL").Scan(&next); err != nil {
		return fmt.Errorf("ask the queue: %w", err)
	}
	return nil
}

// QueueStats counts the recordings by what they wait for.
func (s *Store) QueueStats(ctx context.Context) (call.QueueStats, error) {
	var q call.QueueStats
	var all int64
	// In one statement, so that the counts are of one moment. Most recordings
	// are archived, and are counted as what is left.
	err := s.each(ctx, `SELECT 'all', count(*), 0, 0, NULL FROM recordings
		UNION ALL SELECT 'queued', count(*), coalesce(sum(CASE WHEN next_try_at <= {now} THEN 1 ELSE 0 END), 0),
			coalesce(sum(CASE WHEN lease_token IS NOT NULL AND next_try_at > {now} THEN 1 ELSE 0 END), 0), min(next_try_at)
			FROM recordings WHERE next_try_at IS NOT NULL
		UNION ALL SELECT state, count(*), 0, 0, NULL FROM recordings WHERE next_try_at IS NULL AND state <> 'archived' GROUP BY state`,
		nil, func(rows *sql.Rows) error {
			var state string
			var n, due, leased int64
			var next time.Time
			if err := rows.Scan(&state, &n, &due, &leased, timeInto{&next}); err != nil {
				return err
			}
			switch call.RecordingState(state) {
			case "all":
				all = n
				return nil
			case "queued":
				q.Due, q.Leased, q.NextTryAt = due, leased, next
				q.Pending += n
			case call.Pending: // their account is paused
				q.Pending += n
			case call.Absent:
				q.Absent = n
			case call.Refused:
				q.Refused = n
			case call.Archived, call.Expired, call.Erased:
			}
			all -= n // the row of all comes first
			return nil
		})
	if err != nil {
		return q, fmt.Errorf("count the queue: %w", err)
	}
	q.Archived = all
	return q, nil
}

// Recording returns one recording, or a call.NotFound error.
func (s *Store) Recording(ctx context.Context, id string) (call.Recording, error) {
	var r call.Recording
	found := false
	err := s.each(ctx, recordingRow+" WHERE id = ?", []any{id}, func(rows *sql.Rows) error {
		found = true
		return scanRecording(rows, &r)
	})
	if err != nil {
		return r, fmt.Errorf("read recording: %w", err)
	}
	if !found {
		return r, call.Errorf(call.NotFound, "there is no recording with this id")
	}
	return r, nil
}
