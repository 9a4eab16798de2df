package store_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"callvault/internal/audit"
	"callvault/internal/call"
	"callvault/internal/store"

	"github.com/google/go-cmp/cmp"
)

// TestCheckPeople: what lets somebody in cannot be replaced, nor can somebody be taken
// out, past the program; and what a pause or a report's first day is.
func TestCheckPeople(t *testing.T) {
	t.Parallel()
	forEachDatabase(t, func(t *testing.T, o store.Options) {
		s := open(t, o)
		for _, err := range []error{
			s.AddUser(t.Context(), call.User{Name: "asha", Role: call.Admin, PasswordHash: "$argon2id$1"}),
			s.SetPassword(t.Context(), "asha", "$argon2id$2"),
			s.AddToken(t.Context(), call.Token{Name: "wall", Role: call.Viewer, Hash: [32]byte{1}}),
			s.PauseAccount(t.Context(), "sales", "x"),
			s.PauseAccount(t.Context(), "sales", "y"),
			s.PauseAccount(t.Context(), "support", "x"),
			s.WakeAccount(t.Context(), "support"),
		} {
			if err != nil {
				t.Fatal(err)
			}
		}
		must(s.ReportSeen(t.Context(), "daily"))(t)
		check := func() []string { return checkAllOfLog(t, s, "", 2) }
		if found := check(); len(found) > 0 {
			t.Fatalf("before: %v", found)
		}
		other := "x'02'"
		if o.DSN != "" {
			other = `'\x02'::bytea`
		}
		restore := remember(t, o, "users", "tokens", "account_pauses", "report_schedules")
		for change, want := range map[string]string{
			"UPDATE users SET password_hash = '$argon2id$1'": "user user/asha",
			"DELETE FROM users":                                       "user user/asha",
			"UPDATE tokens SET hash = " + other:                       "token token/wall",
			"DELETE FROM tokens":                                      "token token/wall",
			"UPDATE account_pauses SET reason = 'x'":                  "account account/sales",
			"UPDATE account_pauses SET paused_at = 1":                 "account account/sales",
			"DELETE FROM account_pauses":                              "account account/sales",
			"INSERT INTO account_pauses VALUES ('support', 'x', 1)":   "account account/support",
			"INSERT INTO account_pauses VALUES ('new', 'x', 1)":       "account account/new",
			"UPDATE report_schedules SET first_seen = first_seen - 1": "report report/daily",
			"DELETE FROM report_schedules":                            "report report/daily",
			"INSERT INTO report_schedules VALUES ('weekly', 1)":       "report report/weekly",
		} {
			tamper(t, o, change)
			if diff := cmp.Diff([]string{want}, check()); diff != "" {
				t.Errorf("%s: faults (-want +got):\n%s", change, diff)
			}
			restore()
		}
		// A database that was made again has none of them until they are added again.
		rebuilt := must(audit.New(audit.DatabaseRebuilt, "", map[string]int{}))(t)
		tamper(t, o, "DELETE FROM users")
		tamper(t, o, "DELETE FROM tokens")
		if err := s.Audit(t.Context(), rebuilt); err != nil {
			t.Fatal(err)
		}
		if found := check(); len(found) > 0 {
			t.Errorf("made again: %v", found)
		}
		if err := s.AddUser(t.Context(), call.User{Name: "asha", Role: call.Viewer, PasswordHash: "$argon2id$3"}); err != nil {
			t.Fatal(err)
		}
		if found := check(); len(found) > 0 {
			t.Errorf("added again: %v", found)
		}
		tamper(t, o, "DELETE FROM users")
		if diff := cmp.Diff([]string{"user user/asha"}, check()); diff != "" {
			t.Errorf("gone again (-want +got):\n%s", diff)
		}
	})
}

// TestCheckEarlierEntries: what the entries of earlier versions did not tell is not
// compared.
func TestCheckEarlierEntries(t *testing.T) {
	t.Parallel()
	forEachDatabase(t, func(t *testing.T, o store.Options) {
		s := open(t, o)
		must(s.AddExport(t.Context(), call.Export{Request: json.RawMessage(`{"calls":["x"]}`), By: "meera", Reason: "court"}))(t)
		begun := must(s.BeginErasure(t.Context(), "+919812345678", "request of today"))(t)
		if err := s.AddUser(t.Context(), call.User{Name: "asha", Role: call.Admin, PasswordHash: "x"}); err != nil {
			t.Fatal(err)
		}
		if err := s.AddSession(t.Context(), call.Session{User: call.User{Name: "asha", Role: call.Admin, PasswordHash: "x"}, Lasts: time.Hour}); err != nil {
			t.Fatal(err)
		}
		record(t, s, delivery(report("1.1")), delivery(report("2.2")))
		calls := allCalls(t, s)
		h := place(t, s, call.Hold{Name: "case 1", Reason: "letter", CallIDs: []string{calls[0].ID}})
		// The log as an earlier version would have written it.
		var entries []audit.Entry
		for _, e := range must(s.AuditEntries(t.Context(), 0, 100))(t) {
			var facts map[string]any
			if err := json.Unmarshal(e.Facts, &facts); err != nil {
				t.Fatal(err)
			}
			for _, later := range []string{"fingerprint", "key_fingerprint", "asked_by", "created_at", "through", "all", "since", "session_fingerprint"} {
				if later != "created_at" || e.Action == audit.ExportRequested {
					delete(facts, later)
				}
			}
			earlier := must(audit.New(e.Action, e.Subject, facts))(t)
			earlier.Actor, earlier.Reason = e.Actor, e.Reason
			entries = append(entries, earlier)
		}
		tamper(t, o, "DELETE FROM audit_entries")
		empty := "x''"
		if o.DSN != "" {
			empty = `'\x'::bytea`
		}
		tamper(t, o, "UPDATE audit_head SET size = 0, edge = "+empty)
		if err := s.Audit(t.Context(), entries...); err != nil {
			t.Fatal(err)
		}
		for _, change := range []string{
			"UPDATE users SET password_hash = 'y'",
			"UPDATE exports SET asked_by = 'x', created_at = 1",
			"UPDATE erasures SET scanned = 7",
			"UPDATE hold_calls SET since = since - 1000",
			"UPDATE sessions SET expires_at = expires_at + 1000",
			fmt.Sprintf("INSERT INTO hold_calls VALUES ('%s', '%s', 1)", h.ID, calls[1].ID),
			"INSERT INTO erasure_items (erasure_id, kind, ref, state, at, until_at) VALUES ('" + begun.ID + "', 'delivery', '1', 'kept', 1, 2)",
		} {
			tamper(t, o, change)
			if found := checkAllOfLog(t, s, "", 100); len(found) > 0 {
				t.Errorf("%s: %v", change, found)
			}
		}
	})
}

// TestCheckHeldCalls: who is under a hold, and since when, follows from the log, also
// where calls became one.
func TestCheckHeldCalls(t *testing.T) {
	t.Parallel()
	forEachDatabase(t, func(t *testing.T, o store.Options) {
		s := open(t, o)
		record(t, s, delivery(report("1.1")), delivery(report("2.2")), delivery(report("3.3")))
		for _, c := range must(s.ClaimRecordings(t.Context(), call.ClaimOptions{Limit: 3, Lease: time.Minute}))(t) {
			if err := s.MarkArchived(t.Context(), c.LeaseToken, call.Archiving{ObjectKey: "calls/" + c.ID, Size: 7, SHA256: strings.Repeat("ab", 32)}); err != nil {
				t.Fatal(err)
			}
		}
		ids := map[string]string{}
		for _, c := range allCalls(t, s) {
			ids[c.Key] = c.ID
		}
		h := must(s.PlaceHold(t.Context(), call.Hold{Name: "case 1", Reason: "letter", CallIDs: []string{ids["2.2"], ids["3.3"]}}))(t)
		check := func() []string { return checkAllOfLog(t, s, "", 100) }
		where := []string{"hold hold/" + h.ID}
		if found := check(); len(found) > 0 {
			t.Fatalf("before: %v", found)
		}
		restore := remember(t, o, "holds", "hold_calls", "held_recordings")
		for _, change := range []string{
			"DELETE FROM hold_calls WHERE call_id = '" + ids["2.2"] + "'",
			fmt.Sprintf("INSERT INTO hold_calls VALUES ('%s', '%s', 1)", h.ID, ids["1.1"]),
			"UPDATE hold_calls SET since = since - 1",
			"UPDATE hold_calls SET since = since + 1",
		} {
			tamper(t, o, change)
			if diff := cmp.Diff(where, check()); diff != "" {
				t.Errorf("%s: faults (-want +got):\n%s", change, diff)
			}
			restore()
		}
		// Of what was archived long before the log tells.
		tamper(t, o, "UPDATE recordings SET archived_at = archived_at - 300000")
		before := check()
		tamper(t, o, "DELETE FROM held_recordings")
		if diff := cmp.Diff(append(where, before...), check()); diff != "" {
			t.Errorf("an object is not looked at (-want +got):\n%s", diff)
		}
		restore()
		tamper(t, o, "UPDATE recordings SET archived_at = archived_at + 300000")
		// Whether its objects are looked at does not depend on what the row says.
		tamper(t, o, "UPDATE holds SET lifted = 1, filled_at = 4102444800000")
		for _, object := range must(s.HeldObjects(t.Context(), "", 10))(t) {
			if err := s.MarkHeldObject(t.Context(), object); err != nil {
				t.Fatal(err)
			}
		}
		if found := check(); len(found) > 0 {
			t.Fatalf("held: %v", found)
		}
		if _, err := s.ReleaseHold(t.Context(), "case 1", "closed", false); err != nil {
			t.Fatal(err)
		}
		if found := check(); len(found) > 0 {
			t.Fatalf("released: %v", found)
		}
		if objects := must(s.HeldObjects(t.Context(), "", 10))(t); len(objects) != 2 || objects[0].Hold {
			t.Errorf("to be lifted: %+v", objects)
		}
		tamper(t, o, "UPDATE held_recordings SET pushed_at = 1")
		if found := check(); len(found) != 2 || !strings.HasPrefix(found[0], "hold held/") {
			t.Errorf("never to be lifted: %v", found)
		}
	})
}

// TestHoldFilledInTheFuture: a hold whose row says that all calls have been compared
// with it for years to come is filled all the same.
func TestHoldFilledInTheFuture(t *testing.T) {
	t.Parallel()
	forEachDatabase(t, func(t *testing.T, o store.Options) {
		s := open(t, o)
		record(t, s, delivery(report("1.1")))
		filter := call.Filter{Account: "sales"}
		must(s.PlaceHold(t.Context(), call.Hold{Name: "case 1", Reason: "letter", Filter: &filter, Until: time.Now().Add(time.Hour)}))(t)
		tamper(t, o, "UPDATE holds SET filled_at = 4102444800000")
		joined := must(s.FollowHolds(t.Context(), func(f call.Filter) call.Filter { return f }))(t)
		if joined != 1 {
			t.Errorf("%d calls came under it", joined)
		}
	})
}

// TestCheckLogins: nobody is in who has not logged in.
func TestCheckLogins(t *testing.T) {
	t.Parallel()
	forEachDatabase(t, func(t *testing.T, o store.Options) {
		s := open(t, o)
		asha := call.User{Name: "asha", Role: call.Admin, PasswordHash: "$argon2id$1"}
		if err := s.AddUser(t.Context(), asha); err != nil {
			t.Fatal(err)
		}
		for i := range byte(3) {
			if err := s.AddSession(t.Context(), call.Session{Hash: [32]byte{i}, User: asha, Network: "203.0.113.0/24", Lasts: time.Hour}); err != nil {
				t.Fatal(err)
			}
		}
		check := func() []string { return checkAllOfLog(t, s, "", 100) }
		restore := remember(t, o, "sessions")
		if err := s.EndSession(t.Context(), [32]byte{1}); err != nil {
			t.Fatal(err)
		}
		if found := check(); len(found) > 0 {
			t.Fatalf("before: %v", found)
		}
		restoreThose := func() { restore(); tamperAny(t, o, "DELETE FROM sessions WHERE hash = "+bytesOf(o, "01")) }
		for _, change := range []string{
			"INSERT INTO sessions SELECT " + bytesOf(o, "77") + ", user_name, user_mark, logged_in_at, expires_at FROM sessions LIMIT 1",
			"UPDATE sessions SET expires_at = expires_at + 3600000",
			"UPDATE sessions SET user_mark = " + bytesOf(o, "77"),
			"INSERT INTO sessions SELECT * FROM sessions_copy WHERE hash = " + bytesOf(o, "01"), //nolint:unqueryvet // as it was; brought back
		} {
			tamper(t, o, change)
			if diff := cmp.Diff([]string{"user session/asha"}, check()); diff != "" {
				t.Errorf("%s: faults (-want +got):\n%s", change, diff)
			}
			restoreThose()
		}
		tamper(t, o, "DELETE FROM sessions")
		if found := check(); len(found) > 0 {
			t.Errorf("all are forgotten: %v", found)
		}
	})
}

// TestForgedLoginIsEnded: what the docs say to do about a login that nobody made ends
// it, and with it the fault, even if no number says how long it lasts.
func TestForgedLoginIsEnded(t *testing.T) {
	t.Parallel()
	forEachDatabase(t, func(t *testing.T, o store.Options) {
		s := open(t, o)
		asha := call.User{Name: "asha", Role: call.Admin, PasswordHash: "$argon2id$1"}
		ravi := call.User{Name: "ravi", Role: call.Admin, PasswordHash: "$argon2id$1"}
		for i, u := range []call.User{asha, ravi} {
			if err := errors.Join(s.AddUser(t.Context(), u),
				s.AddSession(t.Context(), call.Session{Hash: [32]byte{byte(i)}, User: u, Network: "203.0.113.0/24", Lasts: time.Hour})); err != nil {
				t.Fatal(err)
			}
		}
		expires := []string{"4102444800000"}
		if o.DSN == "" {
			expires = append(expires, "'never'")
		}
		ends := map[string]func() error{
			"the password was changed": func() error { return s.SetPassword(t.Context(), "asha", "$argon2id$2") },
			"the user was disabled":    func() error { return s.DisableUser(t.Context(), "asha") },
		}
		for _, at := range expires {
			for reason, end := range ends {
				tamper(t, o, fmt.Sprintf("INSERT INTO sessions VALUES (%s, 'asha', %s, 1, %s)", bytesOf(o, "77"), bytesOf(o, "77"), at))
				before := len(must(s.AuditEntries(t.Context(), 0, 100))(t))
				if err := end(); err != nil {
					t.Fatal(err)
				}
				ended := 0
				for _, e := range must(s.AuditEntries(t.Context(), int64(before), 100))(t) {
					if e.Action == audit.UserLoggedOut && e.Subject == "user/asha" && e.Reason == reason {
						ended++
					}
				}
				if ended == 0 {
					t.Errorf("until %s: the log does not say that %s", at, reason)
				}
				if found := checkAllOfLog(t, s, "", 100); len(found) > 0 {
					t.Errorf("until %s, %s: %v", at, reason, found)
				}
				again := must(s.CheckAgain(t.Context(), call.CheckOptions{}, "session/asha"))(t)
				if diff := cmp.Diff(call.Checked{Where: []string{"session/asha"}, Kinds: []call.FaultKind{call.FaultUser}}, again); diff != "" {
					t.Errorf("until %s, %s: again (-want +got):\n%s", at, reason, diff)
				}
			}
		}
		if u := must(s.SessionUser(t.Context(), [32]byte{1}))(t); u.Name != "ravi" {
			t.Errorf("the session of ravi is that of %q", u.Name)
		}
	})
}

// TestRowsThatAreGone: a row that is not there closes a fault unless the log says that
// it should be there.
func TestRowsThatAreGone(t *testing.T) {
	t.Parallel()
	forEachDatabase(t, func(t *testing.T, o store.Options) {
		s := open(t, o)
		if err := errors.Join(
			s.AddUser(t.Context(), call.User{Name: "asha", Role: call.Admin, PasswordHash: "x"}),
			s.AddToken(t.Context(), call.Token{Name: "wall", Role: call.Viewer, Hash: [32]byte{1}}),
			s.PauseAccount(t.Context(), "sales", "x"),
		); err != nil {
			t.Fatal(err)
		}
		must(s.ReportSeen(t.Context(), "daily"))(t)
		for _, table := range []string{"users", "tokens", "account_pauses", "report_schedules"} {
			tamper(t, o, "DELETE FROM "+table)
		}
		for _, where := range []string{"user/asha", "token/wall", "account/sales", "report/daily"} {
			if again := must(s.CheckAgain(t.Context(), call.CheckOptions{}, where))(t); len(again.Where) > 0 {
				t.Errorf("%s: the log says that it should be there: %+v", where, again)
			}
		}
		tamper(t, o, "INSERT INTO account_pauses VALUES ('support', 'x', 1)")
		if again := must(s.CheckAgain(t.Context(), call.CheckOptions{}, "account/support"))(t); len(again.Faults) != 1 {
			t.Errorf("a pause of which the log does not tell: %+v", again)
		}
		// As a server does that is started again.
		if err := s.WakeAccount(t.Context(), "support"); err != nil {
			t.Fatal(err)
		}
		if again := must(s.CheckAgain(t.Context(), call.CheckOptions{}, "account/support"))(t); len(again.Faults) != 0 || len(again.Where) != 1 {
			t.Errorf("woken: %+v", again)
		}
	})
}

// bytesOf is SQL for 32 bytes, the first of which is given in hex.
func bytesOf(o store.Options, first string) string {
	text := first + strings.Repeat("00", 31)
	if o.DSN != "" {
		return `'\x` + text + "'::bytea"
	}
	return "x'" + text + "'"
}
