package main

import (
	"log/slog"
	"slices"
	"testing"

	"callvault/internal/call"
	"callvault/internal/config"
)

// TestFaultsClose: what was put in past the program is a fault when it is looked at
// again, and none any more once it is taken out.
func TestFaultsClose(t *testing.T) {
	t.Parallel()
	in := install(t, storage{}, anySize(), "")
	commandJSON[map[string]int](t, "migrate", "--data", in.data)
	s, v := in.openStored(t)
	c, err := config.Load(config.Options{Data: in.data})
	if err != nil {
		t.Fatal(err)
	}
	again := scrubOptions(c, s, v, nil, nil, slog.New(slog.DiscardHandler)).Again
	for _, f := range []struct {
		kind            call.FaultKind
		where           string
		putIn, takenOut string
	}{
		{call.FaultIdentifier, "identifier/x", "INSERT INTO call_keys (value, kind, account, call_id) VALUES ('x', 'call', 'sales', 'x')", "DELETE FROM call_keys"},
		{call.FaultUser, "session/asha", "INSERT INTO sessions (hash, user_name, user_mark, logged_in_at, expires_at) VALUES (zeroblob(32), 'asha', zeroblob(32), 1, 4102444800000)", "DELETE FROM sessions"},
		{call.FaultUser, "user/mallory", "INSERT INTO users (name, role, user_groups, password_hash, created_at) VALUES ('mallory', 'admin', '[]', 'x', 1)", "DELETE FROM users"},
		{call.FaultErasure, "suppressed/7", "INSERT INTO suppressed_numbers (seq, number_hash, before_at) VALUES (7, 'x', 1)", "DELETE FROM suppressed_numbers"},
		{call.FaultAccount, "account/sales", "INSERT INTO account_pauses (account, reason, paused_at) VALUES ('sales', 'x', 1)", "DELETE FROM account_pauses"},
		{call.FaultReport, "report/weekly", "INSERT INTO report_schedules (report, first_seen) VALUES ('weekly', 1)", "DELETE FROM report_schedules"},
		{call.FaultRedirect, "redirect/x", "INSERT INTO call_redirects (id, call_id) VALUES ('x', 'y')", "DELETE FROM call_redirects"},
	} {
		fault := call.Fault{Kind: f.kind, Where: f.where, What: "as it was found"}
		in.tamper(t, storage{}, f.putIn)
		if checked, err := again(t.Context(), fault); err != nil || len(checked) != 1 || len(checked[0].Faults) != 1 || checked[0].Faults[0].Where != f.where {
			t.Errorf("%s: %+v, %v", f.where, checked, err)
		}
		in.tamper(t, storage{}, f.takenOut)
		checked, err := again(t.Context(), fault)
		if err != nil || len(checked) != 1 || len(checked[0].Faults) != 0 || !slices.Contains(checked[0].Where, f.where) || !slices.Contains(checked[0].Kinds, f.kind) {
			t.Errorf("%s is taken out: %+v, %v", f.where, checked, err)
		}
	}
}
