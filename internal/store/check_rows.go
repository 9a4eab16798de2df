package store

import (
	"bytes"
	"context"
	"database/sql"
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"callvault/internal/audit"
	"callvault/internal/call"
)

// This file compares the rows of recordings, report runs, mails, holds, erasures and
// others with the audit log: whatever changes one of them says so there, with the row
// as it then is.

// loggedTable is a table of whose rows the log tells.
type loggedTable struct {
	kind call.FaultKind
	// noun begins the subject of the entries, and the place of a fault. actions are
	// those whose facts are the row.
	noun    string
	actions []audit.Action
	// rows reads rows by their ids, each as the log would tell of it.
	rows func(ctx context.Context, s *Store, where string, args ...any) ([]*loggedRow, error)
	// fields are what must be as the last entry has it.
	fields []string
	// check, if not nil, says what else is wrong with a row, given its last
	// entry, or that a difference has a reason: then it returns true.
	check func(ctx context.Context, s *Store, row *loggedRow, last audit.Entry, differ []string) (what string, excused bool, err error)
	// silent are the states in which the log need not have told of a row.
	silent []string
	// read, if not nil, gives facts as the program takes them, for rows that are
	// themselves kept as JSON. The rows are read by it, too.
	read func(facts []byte) (json.RawMessage, error)
}

// loggedRow is a row as the log would tell of it.
type loggedRow struct {
	id string
	// facts are that in JSON; nil, if something of it was set otherwise since.
	facts []byte
	// parsed are its fields, once somebody has asked for one.
	parsed map[string]json.RawMessage
	// wrong is what is wrong with it whatever the log tells.
	wrong string
}

// field is a field as JSON, nil if there is none.
func (r *loggedRow) field(name string) json.RawMessage {
	if r.parsed == nil && (json.Unmarshal(r.facts, &r.parsed) != nil || r.parsed == nil) {
		r.parsed = map[string]json.RawMessage{} // it cannot be read, and differs in all
	}
	return r.parsed[name]
}

// set sets a field; nil: it has none.
func (r *loggedRow) set(name string, value json.RawMessage) {
	_ = r.field(name)
	r.facts = nil
	r.parsed[name] = value
}

// text is a field that is a JSON string, without the quotes.
func (r *loggedRow) text(field string) (text string) {
	if json.Unmarshal(r.field(field), &text) != nil {
		return ""
	}
	return text
}

// differs names those of the fields in which an entry's facts are not the row.
func (r *loggedRow) differs(fields []string, facts json.RawMessage) ([]string, error) {
	if bytes.Equal(r.facts, facts) {
		return nil, nil
	}
	var told map[string]json.RawMessage
	if err := json.Unmarshal(facts, &told); err != nil {
		return nil, err
	}
	var differ []string
	for _, field := range fields {
		if !bytes.Equal(r.field(field), told[field]) {
			differ = append(differ, field)
		}
	}
	return differ, nil
}

func loggedTables() []loggedTable {
	return []loggedTable{
		{
			kind: call.FaultRecording, noun: "recording",
			actions: []audit.Action{
				audit.RecordingArchived, audit.RecordingAbsent, audit.RecordingRefused, audit.RecordingWoken, audit.RecordingRetained, audit.RecordingExpiring,
				audit.RecordingExpired, audit.RecordingKept, audit.RecordingErased, audit.RecordingErasureFailed,
			},
			silent: []string{string(call.Pending)}, check: checkRecordingRow,
			fields: []string{
				"account", "provider", "kind", "source", "state", "object_key", "size", "sha256", "stored_sha256", "media_type", "audio_seconds",
				"reason", "created_at", "wanted_at", "archived_at", "retain_until", "rule", "rule_until", "due_at", "blocked_by", "blocked_until", "expired_at", "attempts", "last_error",
			},
			rows: recordingRows,
		},
		{
			kind: call.FaultRun, noun: "run",
			actions: runActions(),
			silent:  []string{string(call.RunBuilding)}, check: checkRunRow,
			fields: []string{
				"report", "period_from", "period_to", "zone", "state", "revision", "as_of", "input_hash", "files", "error", "created_at", "built_at",
				"files_expiring_at", "files_expired_at", "blocked_by", "blocked_until", "mail_revision", "known_deliveries",
			},
			rows: runRows,
		},
		{
			kind: call.FaultMail, noun: "mail", actions: []audit.Action{audit.MailBegun, audit.MailFinished, audit.MailResent}, check: checkMailRow,
			fields: []string{"run_id", "revision", "recipient", "message_id", "state", "detail", "attempts", "created_at", "dated_at", "next_try_at", "sent_at"},
			rows:   entryRows("SELECT "+mailColumns+" FROM mails", mailEntry("")),
		},
		{
			kind: call.FaultHold, noun: "hold", actions: []audit.Action{audit.HoldPlaced, audit.HoldReleaseAsked, audit.HoldReleaseWithdrawn, audit.HoldReleased}, rows: holdRows, check: checkHoldRow,
			read: readHold,
			// Whom the filter means is followed by configuration.
			fields: []string{"name", "reason", "call_ids", "filter", "until", "two_person", "placed_at", "placed_by", "asked", "released"},
		},
		{kind: call.FaultErasure, noun: "erasure", actions: []audit.Action{audit.ErasureBegun}, rows: erasureRows, check: checkErasureRow, fields: []string{"number_hash"}},
		{
			kind: call.FaultUser, noun: "user", actions: []audit.Action{audit.UserAdded, audit.UserDisabled, audit.UserPasswordChanged}, rows: personRows("user"), check: checkPersonRow,
			fields: []string{"role", "groups", "created_at", "disabled", "fingerprint"},
		},
		{
			kind: call.FaultToken, noun: "token", actions: []audit.Action{audit.TokenAdded, audit.TokenDisabled}, rows: personRows("token"), check: checkPersonRow,
			fields: []string{"role", "groups", "created_at", "disabled", "fingerprint"},
		},
		{
			kind: call.FaultRedirect, noun: string(call.FaultRedirect), actions: []audit.Action{audit.CallJoined}, rows: redirectRows,
			silent: []string{""}, // an earlier version logged none
			fields: []string{"call_id"},
		},
		{
			kind: call.FaultExport, noun: "export", actions: []audit.Action{audit.ExportRequested, audit.ExportMade, audit.ExportFailed, audit.ExportRemoved}, rows: exportRows, check: checkExportRow,
			fields: append(untoldBefore(), "request", "state", "calls", "recordings", "missing", "altered", "size", "manifest_sha256", "error"),
		},
		{
			kind: call.FaultAccount, noun: "account", actions: []audit.Action{audit.AccountPaused, audit.AccountWoken}, rows: pauseRows(), check: checkPauseRow,
			fields: []string{"reason", "paused_at"},
		},
		{
			kind: call.FaultReport, noun: "report", actions: []audit.Action{audit.ReportSeen}, rows: scheduleRows, silent: []string{rebuiltSchedule},
			fields: []string{"first_seen"},
		},
		{
			kind: call.FaultFault, noun: "fault", actions: []audit.Action{audit.FaultOpened, audit.FaultClosed}, rows: faultRows, check: checkFaultRow,
			silent: []string{""}, // faults of an earlier version; one too many hides nothing
		},
		// Of these the log tells by what they follow from.
		{kind: call.FaultUser, noun: "session", rows: loginRows, silent: []string{""}},
		{kind: call.FaultHold, noun: "held", rows: markedRows, silent: []string{""}},
		{kind: call.FaultErasure, noun: "suppressed", rows: suppressedRows, silent: []string{""}},
	}
}

// entryRows reads rows by the entries that would be made of them.
func entryRows(query string, entry func(row) (audit.Entry, error)) func(context.Context, *Store, string, ...any) ([]*loggedRow, error) {
	return func(ctx context.Context, s *Store, where string, args ...any) (rows []*loggedRow, err error) {
		err = s.each(ctx, query+where, args, func(r *sql.Rows) error {
			e, err := entry(r)
			rows = append(rows, &loggedRow{id: e.Subject[strings.Index(e.Subject, "/")+1:], facts: e.Facts})
			return err
		})
		return rows, err
	}
}

// CheckRows compares a page of rows of which the log tells, beginning after the
// place that a page before ended with, with the last that it told.
func (s *Store) CheckRows(ctx context.Context, o call.CheckOptions, after string, limit int) (call.Checked, error) {
	noun, id, _ := strings.Cut(after, "/")
	tables := loggedTables()
	i := max(slices.IndexFunc(tables, func(t loggedTable) bool { return t.noun == noun }), 0)
	c := newChecker(s, o, tables[i].kind)
	rows, err := tables[i].page(ctx, s, id, limit)
	if err == nil {
		err = c.logged(ctx, tables[i], rows)
	}
	if err != nil {
		return call.Checked{}, fmt.Errorf("compare rows with the log: %w", err)
	}
	switch {
	case len(rows) == limit:
		c.checked.Next = tables[i].noun + "/" + rows[limit-1].id
	case i+1 < len(tables):
		c.checked.Next = tables[i+1].noun + "/"
	}
	return c.checked, nil
}

// page reads at most limit rows after an id. Those that cannot be read are among
// them, and wrong.
func (t *loggedTable) page(ctx context.Context, s *Store, after string, limit int) ([]*loggedRow, error) {
	var page []*loggedRow
	for len(page) < limit {
		rows, err := t.rows(ctx, s, " WHERE id > ? ORDER BY id LIMIT ?", after, limit-len(page))
		bad := call.AsUnreadable(err)
		if bad == nil || bad.ID <= after {
			return append(page, rows...), err
		}
		// Those before it, and then on behind it.
		rows, err = t.rows(ctx, s, " WHERE id > ? AND id < ? ORDER BY id LIMIT ?", after, bad.ID, limit-len(page)-1)
		if err != nil {
			return nil, err
		}
		page = append(append(page, rows...), &loggedRow{id: bad.ID, wrong: bad.What()})
		after = bad.ID
	}
	return page, nil
}

// one reads one row, as page does; none, if it is not there.
func (t *loggedTable) one(ctx context.Context, s *Store, id string) ([]*loggedRow, error) {
	rows, err := t.rows(ctx, s, " WHERE id = ?", id)
	if bad := call.AsUnreadable(err); bad != nil && bad.ID == id {
		return []*loggedRow{{id: id, wrong: bad.What()}}, nil
	}
	return rows, err
}

// logged compares rows. What looks wrong is looked at once more: something may
// have been done between the row and the log being read.
func (c *checker) logged(ctx context.Context, table loggedTable, rows []*loggedRow) error {
	wrong, err := c.compareLogged(ctx, table, rows)
	if err != nil {
		return err
	}
	for _, row := range rows {
		where := table.noun + "/" + row.id
		c.checked.Where = append(c.checked.Where, where)
		if wrong[row.id] == "" {
			continue
		}
		again, err := table.one(ctx, c.Store, row.id)
		if err != nil {
			return err
		}
		still, err := c.compareLogged(ctx, table, again)
		if err != nil {
			return err
		}
		if what := still[row.id]; what != "" {
			c.fault(table.kind, where, "%s", what)
		}
	}
	return nil
}

// compareLogged says what is wrong with rows, by their ids.
func (c *checker) compareLogged(ctx context.Context, table loggedTable, rows []*loggedRow) (map[string]string, error) {
	subjects := make([]string, len(rows))
	for i, r := range rows {
		subjects[i] = table.noun + "/" + r.id
	}
	last, err := c.lastEntries(ctx, subjects, table.actions...)
	if err != nil {
		return nil, err
	}
	wrong := map[string]string{}
	for _, r := range rows {
		if r.wrong != "" {
			wrong[r.id] = r.wrong
		}
		if r.wrong != "" && r.facts == nil && r.parsed == nil {
			continue // nothing of it can be compared
		}
		entry, isTold := last[table.noun+"/"+r.id]
		if !isTold {
			if !slices.Contains(table.silent, r.text("state")) {
				wrong[r.id] = "the log does not tell of it"
			}
			continue
		}
		told := entry.Facts
		if table.read != nil {
			if told, err = table.read(told); err != nil {
				continue // the check of the log names the entry
			}
		}
		differ, err := r.differs(table.fields, told)
		if err != nil {
			continue // so it does here
		}
		what, excused := "", false
		if table.check != nil {
			what, excused, err = table.check(ctx, c.Store, r, entry, differ)
			if call.AsUnreadable(err) != nil {
				what, err = "something that belongs to it, or tells of it, cannot be read any more", nil
			}
			if err != nil {
				return nil, err
			}
		}
		if what == "" && len(differ) > 0 && !excused {
			what = "its row is not what the log told last, in " + strings.Join(differ, ", ")
		}
		if what != "" {
			wrong[r.id] = what
		}
	}
	return wrong, nil
}

// lastEntries are the last entries about subjects of which the actions are. The
// subjects must be neighbours, or few.
func (s *Store) lastEntries(ctx context.Context, subjects []string, actions ...audit.Action) (map[string]audit.Entry, error) {
	last := make(map[string]audit.Entry, len(subjects))
	if len(subjects) == 0 || len(actions) == 0 {
		return last, nil
	}
	isAsked := make(map[string]bool, len(subjects))
	for _, subject := range subjects {
		isAsked[subject] = true
	}
	args := []any{slices.Min(subjects), slices.Max(subjects)}
	for _, action := range actions {
		args = append(args, string(action))
	}
	err := s.each(ctx, "SELECT "+auditColumns+" FROM audit_entries WHERE subject <> '' AND subject >= ? AND subject <= ? AND action IN "+tuples(1, len(actions)), args,
		func(rows *sql.Rows) error {
			var e audit.Entry
			err := scanAuditEntry(rows, &e)
			if call.AsUnreadable(unreadable(rows, err)) != nil {
				// What it told is not known; the check of the log names it.
				e, err = audit.Entry{Seq: e.Seq, Subject: rawText(rows, "subject")}, nil
			}
			if before, ok := last[e.Subject]; isAsked[e.Subject] && (!ok || e.Seq > before.Seq) {
				last[e.Subject] = e
			}
			return err
		})
	return last, err
}

// only reports whether there is no difference but in some fields.
func only(differ []string, fields ...string) bool {
	return !slices.ContainsFunc(differ, func(d string) bool { return !slices.Contains(fields, d) })
}

func checkMailRow(ctx context.Context, s *Store, row *loggedRow, last audit.Entry, differ []string) (string, bool, error) {
	if len(differ) == 0 || row.text("state") != string(call.MailUncertain) || !only(differ, "state", "detail", "next_try_at") {
		return "", false, nil
	}
	// What was under way when a database was lost is uncertain in the one that
	// was made again.
	rebuilt, err := s.isRebuiltAfter(ctx, last.Seq)
	return "", rebuilt, err
}

// isRebuiltAfter reports whether the database was made again after a place in the log.
func (s *Store) isRebuiltAfter(ctx context.Context, seq int64) (rebuilt bool, err error) {
	err = s.each(ctx, "SELECT 1 FROM audit_entries WHERE action = ? AND action <> 'recording.archived' AND seq > ? LIMIT 1", []any{string(audit.DatabaseRebuilt), seq}, func(*sql.Rows) error {
		rebuilt = true
		return nil
	})
	return rebuilt, err
}
