package store_test

import (
	"context"
	"crypto/sha256"
	"database/sql"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"callvault/internal/call"
	"callvault/internal/store"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

// tamper runs a statement past the store, as somebody with the database's
// password could. It must touch something.
func tamper(t *testing.T, o store.Options, statement string) {
	t.Helper()
	if tamperAny(t, o, statement) == 0 {
		t.Fatalf("%s touches nothing", statement)
	}
}

func tamperAny(t *testing.T, o store.Options, statement string) int64 {
	t.Helper()
	result, err := raw(t, o).ExecContext(t.Context(), statement)
	if err != nil {
		t.Fatalf("%s: %v", statement, err)
	}
	n, err := result.RowsAffected()
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// raw is the database itself.
func raw(t *testing.T, o store.Options) *sql.DB {
	t.Helper()
	driver, dsn := "pgx", o.DSN
	if dsn == "" {
		driver, dsn = "sqlite", "file:"+o.Path+"?_pragma=busy_timeout(10000)"
	}
	db, err := sql.Open(driver, dsn)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := db.Close(); err != nil {
			t.Error(err)
		}
	})
	return db
}

// checkToday are options with the decoder of post.
func checkToday() call.CheckOptions {
	return call.CheckOptions{Decode: func(d *call.Delivery) bool {
		decodeToday(d)
		return d.Account != "gone"
	}}
}

// checkRows checks all rows, a few at a time.
func checkRows(t rapid.TB, s *store.Store, o call.CheckOptions) (all call.Checked) {
	t.Helper()
	for _, part := range []func(context.Context, call.CheckOptions, string, int) (call.Checked, error){s.CheckCalls, s.CheckLegs, s.CheckDeliveries} {
		for next, more := "", true; more; more = next != "" {
			page, err := part(context.Background(), o, next, 3)
			if err != nil {
				t.Fatal(err)
			}
			all.Where = append(all.Where, page.Where...)
			all.Faults = append(all.Faults, page.Faults...)
			all.Notices = append(all.Notices, page.Notices...)
			next = page.Next
		}
	}
	return all
}

// faultsOf are the kinds and places of faults.
func faultsOf(faults []call.Fault) []string {
	var list []string
	for _, f := range faults {
		list = append(list, string(f.Kind)+" "+f.Where)
	}
	slices.Sort(list)
	return list
}

// otherReport is a second report of leg 1.1, which told more.
func otherReport() *call.Leg {
	l := report("1.1")
	l.Group = "A longer group"
	l.Attributes["more"] = json.RawMessage(`"x"`)
	return l
}

// TestCheckFindsWhatWasChanged changes one thing after the other, and expects
// it to be named, and nothing else.
func TestCheckFindsWhatWasChanged(t *testing.T) {
	t.Parallel()
	both := []string{"call call/{call}", "leg leg/sales/1.1"}
	changes := []struct {
		name, statement string
		want            []string
	}{
		{"a call's outcome", "UPDATE calls SET outcome = 'missed' WHERE call_key = '1.1'", []string{"call call/{call}"}},
		{"a call's number", "UPDATE calls SET customer_number = '+910000000000' WHERE call_key = '1.1'", []string{"call call/{call}"}},
		{"what a call is found by", "UPDATE calls SET customer_rev = '0' WHERE call_key = '1.1'", []string{"call call/{call}"}},
		{"a call's talk", "UPDATE calls SET talk_seconds = 4000 WHERE call_key = '1.1'", []string{"call call/{call}"}},
		{"a call's end", "UPDATE calls SET ended_at = NULL WHERE call_key = '1.1'", []string{"call call/{call}"}},
		{"a call's start", "UPDATE calls SET started_at = started_at + 1 WHERE call_key = '1.1'", []string{"call call/{call}"}},
		{"a call is gone", "DELETE FROM calls WHERE call_key = '1.1'", []string{"leg leg/sales/1.1"}},
		{"a call that never was", "INSERT INTO calls SELECT 'x', account, provider, call_key, key_kind, direction, outcome, status, customer_number, business_number, agent_id, agent_name, agent_number, offers, group_name, campaign, started_at, answered_at, ended_at, wait_seconds, talk_seconds, total_seconds, hangup_cause, hangup_by, cost, legs_count, customer_rev FROM calls WHERE call_key = '1.1'", []string{"call call/x"}},
		{"a leg's fact", `UPDATE legs SET facts = replace(facts, '"talk_seconds":40', '"talk_seconds":41') WHERE leg_key = '1.1'`, both},
		{"a leg's attribute", `UPDATE legs SET facts = replace(facts, '"coins":"1"', '"coins":"999"') WHERE leg_key = '1.1'`, []string{"leg leg/sales/1.1"}},
		{"a leg's attribute more", `UPDATE legs SET facts = replace(facts, '"coins":"1"', '"coins":"1","x":"y"') WHERE leg_key = '1.1'`, []string{"leg leg/sales/1.1"}},
		{"a leg's attribute less", `UPDATE legs SET facts = replace(facts, '"more":"x"', '"more":""') WHERE leg_key = '1.1'`, []string{"leg leg/sales/1.1"}},
		{"a leg and its call", `UPDATE legs SET call_id = 'x' WHERE leg_key = '1.1'`, both},
		{"a leg that cannot be read", `UPDATE legs SET facts = 'x' WHERE leg_key = '1.1'`, both},
		{"a leg's key", "UPDATE legs SET leg_key = '3.3' WHERE leg_key = '1.1'", []string{"delivery delivery/{first}", "delivery delivery/{second}", "leg leg/sales/3.3"}},
		{"a leg is gone", "DELETE FROM legs WHERE leg_key = '1.1'", []string{"call call/{call}", "delivery delivery/{first}", "delivery delivery/{second}"}},
		{"a key that leads elsewhere", "UPDATE call_keys SET call_id = 'x' WHERE value = '1.1'", []string{"leg leg/sales/1.1"}},
		{"a delivery's body", "UPDATE bodies SET body = body || {newline} WHERE sha256 = (SELECT body_sha256 FROM deliveries WHERE id = {first})", []string{"delivery delivery/{first}"}},
		{"a delivery's hash", "UPDATE deliveries SET body_sha256 = (SELECT body_sha256 FROM deliveries WHERE id = {third}) WHERE id = {second}",
			[]string{"delivery body/{body}", "delivery delivery/{second}", "leg leg/sales/1.1"}},
		{"a body is gone", "DELETE FROM bodies WHERE sha256 = (SELECT body_sha256 FROM deliveries WHERE id = {second})", []string{"delivery delivery/{second}", "leg leg/sales/1.1"}},
		{"a delivery is gone", "DELETE FROM deliveries WHERE id = {second}", []string{"delivery body/{body}", "leg leg/sales/1.1"}},
		{"what became of a delivery", "UPDATE deliveries SET outcome = 'ignored' WHERE id = {first}", []string{"delivery delivery/{first}"}},
		{"what became of an item", "UPDATE delivery_items SET outcome = 'ignored' WHERE delivery_id = {first}", []string{"delivery delivery/{first}"}},
		{"whom an item is about", "UPDATE delivery_items SET leg_id = (SELECT id FROM legs WHERE leg_key = '2.2') WHERE delivery_id = {second}",
			[]string{"delivery delivery/{second}", "leg leg/sales/1.1"}},
		{"an item about nobody", "UPDATE delivery_items SET leg_id = NULL WHERE delivery_id = {second}", []string{"delivery delivery/{second}", "leg leg/sales/1.1"}},
		{"an item is gone", "DELETE FROM delivery_items WHERE delivery_id = {second}", []string{"delivery delivery/{second}", "leg leg/sales/1.1"}},
	}
	forEachDatabase(t, func(t *testing.T, o store.Options) {
		s := open(t, o)
		first := post(t, told{Says: report("1.1"), Read: report("1.1")})
		second := post(t, told{Says: otherReport(), Read: otherReport()})
		third := post(t, told{Says: report("2.2"), Read: report("2.2")})
		for _, d := range []*call.Delivery{first, second, third} {
			record(t, s, d)
		}
		if all := checkRows(t, s, checkToday()); len(all.Faults)+len(all.Notices) > 0 || len(all.Where) != 2+2+3 {
			t.Fatalf("before: %+v", all)
		}
		newline := "x'0a'"
		if o.DSN != "" {
			newline = `'\x0a'::bytea`
		}
		names := strings.NewReplacer("{call}", first.CallIDs[0], "{first}", fmt.Sprint(first.ID), "{second}", fmt.Sprint(second.ID),
			"{third}", fmt.Sprint(third.ID), "{newline}", newline, "{body}", fmt.Sprintf("%x", sha256.Sum256(second.Body)))
		restore := remember(t, o, "calls", "legs", "call_keys", "bodies", "deliveries", "delivery_items")
		for _, tt := range changes {
			tamper(t, o, names.Replace(tt.statement))
			var want []string
			for _, w := range tt.want {
				want = append(want, names.Replace(w))
			}
			all := checkRows(t, s, checkToday())
			if diff := cmp.Diff(want, faultsOf(all.Faults)); diff != "" {
				t.Errorf("%s: faults (-want +got):\n%s%+v", tt.name, diff, all.Faults)
			}
			for _, f := range all.Faults {
				if strings.Contains(f.What, "+91") || f.What == "" {
					t.Errorf("%s: %q tells a number, or nothing", tt.name, f.What)
				}
			}
			restore()
		}
		if all := checkRows(t, s, checkToday()); len(all.Faults)+len(all.Notices) > 0 {
			t.Errorf("after: %+v", all)
		}
	})
}

// remember copies tables; restore brings back what they held.
func remember(t *testing.T, o store.Options, tables ...string) (restore func()) {
	t.Helper()
	for _, table := range tables {
		tamperAny(t, o, "CREATE TABLE "+table+"_copy AS SELECT * FROM "+table) //nolint:unqueryvet // whatever it holds
	}
	back := "BEGIN"
	for _, table := range tables {
		back += "; DELETE FROM " + table + "; INSERT INTO " + table + " SELECT * FROM " + table + "_copy" //nolint:unqueryvet // whatever it holds
	}
	return func() {
		t.Helper()
		tamperAny(t, o, back+"; COMMIT")
	}
}

// TestCheckAfterAnUpgrade: what an earlier version read otherwise is a notice,
// until it has been read again; what this version read is a fault.
func TestCheckAfterAnUpgrade(t *testing.T) {
	t.Parallel()
	forEachDatabase(t, func(t *testing.T, o store.Options) {
		s := open(t, o)
		wrong := report("1.1")
		wrong.Group = "read wrongly"
		d := post(t, told{Says: report("1.1"), Read: wrong})
		record(t, s, d)
		options := checkToday()
		if all := checkRows(t, s, options); len(all.Faults) != 1 {
			t.Errorf("one version: %+v", all)
		}
		options.ReadSince = nine.Add(time.Hour)
		all := checkRows(t, s, options)
		if len(all.Faults) != 0 || len(all.Notices) != 1 || !strings.Contains(all.Notices[0].What, "replay") {
			t.Errorf("a later version: %+v", all)
		}
		replay(t, s, false, d.ID)
		if all := checkRows(t, s, options); len(all.Faults)+len(all.Notices) != 0 {
			t.Errorf("read again: %+v", all)
		}
		for _, step := range []struct {
			version string
			old     bool
		}{{"1", false}, {"2", true}, {"2", true}, {"3", true}} {
			since := must(s.BeginVersion(t.Context(), step.version))(t)
			got := must(s.VersionSince(t.Context(), step.version))(t)
			if step.old && !got.Equal(since) || !step.old && !got.IsZero() {
				t.Errorf("version %s reads since %v, as told %v", step.version, got, since)
			}
		}
		if got := must(s.VersionSince(t.Context(), "2"))(t); time.Since(got) > time.Minute {
			t.Errorf("an older version beside a newer one: %v", got)
		}
	})
}

// TestCheckWhereDeliveriesExpire: what deliveries told that are not kept any
// more is no fault; what the kept ones tell must be there.
func TestCheckWhereDeliveriesExpire(t *testing.T) {
	t.Parallel()
	forEachDatabase(t, func(t *testing.T, o store.Options) {
		s := open(t, o)
		first, second := post(t, told{Says: otherReport(), Read: otherReport()}), post(t, told{Says: report("1.1"), Read: report("1.1")})
		gone := post(t, told{Says: report("2.2"), Read: report("2.2")})
		record(t, s, first, second, gone)
		for _, d := range []*call.Delivery{first, gone} {
			tamper(t, o, fmt.Sprintf("DELETE FROM delivery_items WHERE delivery_id = %d", d.ID))
			tamper(t, o, fmt.Sprintf("DELETE FROM deliveries WHERE id = %d", d.ID))
		}
		tamper(t, o, "DELETE FROM bodies WHERE sha256 NOT IN (SELECT body_sha256 FROM deliveries)")
		options := checkToday()
		if all := checkRows(t, s, options); len(all.Faults) != 2 {
			t.Errorf("deliveries were to be kept: %+v", all.Faults)
		}
		options.KeptSince = nine.Add(time.Minute)
		if all := checkRows(t, s, options); len(all.Faults) != 0 {
			t.Errorf("deliveries were deleted by right: %+v", all.Faults)
		}
		tamper(t, o, `UPDATE legs SET facts = replace(facts, '"talk_seconds":40', '"talk_seconds":39') WHERE leg_key = '1.1'`)
		if all := checkRows(t, s, options); !slices.Contains(faultsOf(all.Faults), "leg leg/sales/1.1") {
			t.Errorf("less than the kept ones tell: %+v", all.Faults)
		}
	})
}

// TestCheckBounds: only calls and deliveries of the time asked for are checked.
func TestCheckBounds(t *testing.T) {
	t.Parallel()
	forEachDatabase(t, func(t *testing.T, o store.Options) {
		s := open(t, o)
		for i := range 5 {
			l := report(fmt.Sprintf("%d.1", i))
			l.StartedAt = nine.Add(time.Duration(i) * time.Hour)
			d := post(t, told{Says: l, Read: l})
			d.ReceivedAt = l.StartedAt.Add(time.Minute)
			record(t, s, d)
		}
		options := checkToday()
		options.From, options.To = nine.Add(time.Hour), nine.Add(3*time.Hour)
		all := checkRows(t, s, options)
		calls, deliveries := 0, 0
		for _, where := range all.Where {
			switch {
			case strings.HasPrefix(where, "call/"):
				calls++
			case strings.HasPrefix(where, "delivery/"):
				deliveries++
			}
		}
		if calls != 2 || deliveries != 2 || len(all.Faults) > 0 {
			t.Errorf("%d calls and %d deliveries: %+v", calls, deliveries, all)
		}
	})
}
