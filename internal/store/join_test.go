package store_test

import (
	"context"
	"database/sql"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
	"time"

	"callvault/internal/call"
	"callvault/internal/store"
	"callvault/internal/testenv"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sync/errgroup"
	"pgregory.net/rapid"
)

// checkCalls makes sure that the calls of an account are exactly what its legs
// make: one for each call key, computed from all legs that have it. Rows of call
// lists have the call key of the reported leg that they are about.
func checkCalls(t rapid.TB, s *store.Store, account string, legs map[string]call.Leg) {
	t.Helper()
	want := map[call.Key][]call.Leg{}
	var reported []*call.Leg
	for _, l := range legs {
		if !l.Listed {
			reported = append(reported, &l)
		}
	}
	for _, l := range legs {
		if best := l.BestMatch(reported); l.NeedsMatch() && best != nil {
			l.Joined = best.CallKey()
		}
		want[l.CallKey()] = append(want[l.CallKey()], l)
	}
	calls, _, err := s.FindCalls(context.Background(), call.Filter{Account: account, Limit: call.MaxLimit})
	if err != nil {
		t.Fatal(err)
	}
	if len(calls) != len(want) {
		t.Fatalf("%d calls of %d call keys", len(calls), len(want))
	}
	for _, found := range calls {
		members := want[call.Key{Kind: found.KeyKind, Value: found.Key}]
		c := call.Merge(members)
		c.ID = found.ID
		if diff := cmp.Diff(c, found.Call); diff != "" {
			t.Fatalf("call %s is not what its legs are:\n%s", found.Key, diff)
		}
		d, err := s.Call(context.Background(), found.ID)
		if err != nil || len(d.Legs) != len(members) {
			t.Fatalf("call %s has %d legs of %d, %v", found.Key, len(d.Legs), len(members), err)
		}
		for _, r := range d.Recordings {
			if r.CallID != found.ID {
				t.Fatalf("recording %s is of another call", r.Source)
			}
		}
	}
	checked, err := s.CheckCalls(context.Background(), call.CheckOptions{}, "", 10_000)
	if err != nil || len(checked.Faults) > 0 {
		t.Fatalf("checked: %+v, %v", checked.Faults, err)
	}
}

// checkIDs makes sure that identifiers and former ids of calls are what the calls,
// their legs and the log say.
func checkIDs(t *testing.T, s *store.Store) {
	t.Helper()
	for _, part := range []struct {
		from  string
		check func(context.Context, call.CheckOptions, string, int) (call.Checked, error)
	}{{"", s.CheckIdentifiers}, {"redirect/", s.CheckRows}, {"", s.CheckLog}} {
		seen := 0
		for next, more := part.from, true; more; more = next != "" {
			checked, err := part.check(t.Context(), call.CheckOptions{}, next, 100)
			if err != nil || len(checked.Faults) > 0 {
				t.Fatalf("checked: %+v, %v", checked.Faults, err)
			}
			next, seen = checked.Next, seen+len(checked.Where)
		}
		if seen < 10 {
			t.Errorf("only %d were looked at", seen)
		}
	}
}

// TestCallsAreWhatTheirLegsAre: reports of a few legs, some poor, some with
// identifiers that the others lack, from webhooks, imports and call lists, in
// any order and any batches, on one node or on several at once, always make the
// calls that follow from the legs. Ids never get lost.
func TestCallsAreWhatTheirLegsAre(t *testing.T) {
	t.Parallel()
	forEachDatabase(t, func(t *testing.T, o store.Options) {
		nodes := []*store.Store{open(t, o), open(t, o), open(t, o)}
		s := nodes[0]
		n := 0
		rapid.Check(t, func(t *rapid.T) {
			n++
			account := fmt.Sprintf("a%d", n)
			legs := map[string]call.Leg{}
			seen := map[string]bool{}
			var batch []*call.Delivery
			var batches [][]*call.Delivery
			// Those that wait are recorded at once, each on a node of its own.
			flush := func() {
				var all errgroup.Group
				for i, b := range batches {
					all.Go(func() error { return nodes[i].Record(context.Background(), b) })
				}
				if err := all.Wait(); err != nil {
					t.Fatal(err)
				}
				for _, d := range slices.Concat(batches...) {
					for _, id := range d.CallIDs {
						seen[id] = true
					}
				}
				batches = nil
			}
			end := func() {
				if batch != nil {
					batches, batch = append(batches, batch), nil
				}
				if len(batches) == len(nodes) || rapid.Bool().Draw(t, "now") {
					flush()
				}
			}
			directions := []call.Direction{call.Inbound, call.Outbound}
			customers := []string{"", "+919812345678", "+919812345679"}
			for range rapid.IntRange(1, 10).Draw(t, "reports") {
				l := call.Leg{Account: account, Provider: call.TeleCMI,
					Key:       rapid.SampledFrom([]string{"p", "q", "r", "s"}).Draw(t, "leg"),
					Direction: rapid.SampledFrom(directions).Draw(t, "direction"),
					Side:      rapid.SampledFrom([]call.Side{"", call.SideB}).Draw(t, "side"),
					Outcome:   rapid.SampledFrom([]call.Outcome{call.Answered, call.Missed}).Draw(t, "outcome"),
					StartedAt: nine.Add(time.Duration(rapid.IntRange(0, 3).Draw(t, "start")) * time.Minute),
				}
				l.AddKey(call.KeyCall, rapid.SampledFrom([]string{"", "", "c1", "c2"}).Draw(t, "call"))
				l.AddKey(call.KeyConversation, rapid.SampledFrom([]string{"", "", "v1", "p"}).Draw(t, "conversation"))
				l.AddKey(call.KeyRequest, rapid.SampledFrom([]string{"", "r1"}).Draw(t, "request"))
				if rapid.Bool().Draw(t, "recorded") {
					l.Recordings = []call.Wanted{{Kind: call.Conversation, Source: l.Key + ".mp3"}}
				}
				l.CustomerNumber = rapid.SampledFrom(customers).Draw(t, "customer")
				l.Agent.ID = rapid.SampledFrom([]string{"", "201"}).Draw(t, "agent")
				if rapid.Bool().Draw(t, "talked") {
					l.TalkSeconds = new(90)
				}
				if rapid.Bool().Draw(t, "listed") {
					l = listedLeg(t, l)
				}
				l.Attributes = call.Attributes{"x": json.RawMessage(rapid.SampledFrom([]string{`"a&b"`, `"<longer>"`, `""`}).Draw(t, "attribute"))}
				if known, ok := legs[l.Key]; ok {
					known.Fill(l)
					legs[l.Key] = known
				} else {
					legs[l.Key] = l
				}
				d := delivery(&l)
				d.Source = rapid.SampledFrom([]call.DeliverySource{call.SourceWebhook, call.SourceImport}).Draw(t, "source")
				if l.Listed {
					d.Source = call.SourceBackfill
				}
				batch = append(batch, d)
				if rapid.Bool().Draw(t, "commit") {
					end()
				}
			}
			end()
			flush()
			checkCalls(t, s, account, legs)
			for id := range seen {
				if _, err := s.Call(context.Background(), id); err != nil {
					t.Fatalf("id %s was given out and is lost: %v", id, err)
				}
			}
		})
		checkIDs(t, s)
	})
}

// listedLeg makes a row of a provider's call list of a leg: about it, about
// another, or about none.
func listedLeg(t *rapid.T, l call.Leg) call.Leg {
	l.Listed, l.Side, l.Keys = true, "", nil
	id := rapid.SampledFrom([]string{"p", "q", "x", "y"}).Draw(t, "id of the row")
	l.Key = call.ListedKey(id)
	l.CustomerNumber = rapid.SampledFrom([]string{"+919812345678", "+919812345678", "+919812345679", ""}).Draw(t, "customer of the row")
	l.StartedAt = l.StartedAt.Add(time.Duration(rapid.IntRange(-7, 7).Draw(t, "seconds")) * time.Second)
	l.AddKey(call.KeyOther, id)
	for i := range l.Recordings {
		// A file is of one call: no row names that of another than its id says.
		l.Recordings[i].Source = id + ".mp3"
		if id == "x" || id == "y" {
			l.Recordings[i].Source = rapid.SampledFrom([]string{"p.mp3", "r.mp3", "x.mp3"}).Draw(t, "file of the row")
		}
	}
	return l
}

// TestPoorReportsOnTwoNodes: a report that does not name its call arrives on
// one node while another leg of the call arrives on the other.
func TestPoorReportsOnTwoNodes(t *testing.T) {
	t.Parallel()
	forEachDatabase(t, func(t *testing.T, o store.Options) {
		nodes := []*store.Store{open(t, o), open(t, o)}
		for i := range 40 {
			account := fmt.Sprintf("a%d", i)
			first := agentLeg("b1", "g")
			poor := agentLeg("b1", "")
			poor.Group = "Sales" // says more, but not the conversation
			second := agentLeg("b2", "g")
			legs := map[string]call.Leg{}
			for _, l := range []*call.Leg{first, poor, second} {
				l.Account = account
			}
			record(t, nodes[0], delivery(first))
			var wg sync.WaitGroup
			for n, l := range []*call.Leg{poor, second} {
				wg.Go(func() {
					if err := nodes[n].Record(context.WithoutCancel(t.Context()), []*call.Delivery{delivery(l)}); err != nil {
						t.Error(err)
					}
				})
			}
			wg.Wait()
			filled := *first
			filled.Fill(*poor)
			legs["b1"], legs["b2"] = filled, *second
			checkCalls(t, nodes[0], account, legs)
		}
	})
}

// TestRowGoesWhileAnotherNodeWrites: a report takes a row of a call list from its
// call to another one, to which the report itself does not belong, while a leg
// of that other call arrives on another node.
func TestRowGoesWhileAnotherNodeWrites(t *testing.T) {
	t.Parallel()
	o := store.Options{DSN: testenv.Postgres(t)}
	nodes := []*store.Store{open(t, o), open(t, o)}
	leg := func(key, conversation string, seconds int) *call.Leg {
		l := &call.Leg{Account: "support", Provider: call.TeleCMI, Key: key, Direction: call.Outbound, Side: call.SideB,
			Outcome: call.Missed, CustomerNumber: "+919812345678", StartedAt: nine.Add(time.Duration(seconds) * time.Second)}
		l.AddKey(call.KeyConversation, conversation)
		return l
	}
	row := leg("list:x", "", 0)
	row.Listed, row.Side, row.Cost = true, "", "7"
	row.AddKey(call.KeyOther, "x")
	first, second, agents := leg("p", "v1", 1), leg("q", "v2", 3), leg("q2", "v2", 2)
	agents.Side, agents.CustomerNumber = call.SideA, ""
	record(t, nodes[0], delivery(row), delivery(first), delivery(second))
	other := *first // of another customer than the row, as it turns out
	other.CustomerNumber = "+9198123456780"
	other.Recordings = []call.Wanted{{Kind: call.Conversation, Source: "p.mp3"}}

	db, err := sql.Open("pgx", o.DSN)
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := db.Close(); err != nil {
			t.Error(err)
		}
	}()
	lock, err := db.BeginTx(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	// The report is held up when all has been read, and its call is written.
	if _, err := lock.ExecContext(t.Context(), "LOCK TABLE recordings IN EXCLUSIVE MODE"); err != nil {
		t.Fatal(err)
	}
	var both errgroup.Group
	recorded := make(chan struct{})
	waiting := func(n int) {
		for tick := time.Tick(10 * time.Millisecond); ; {
			var waits int
			if err := db.QueryRowContext(t.Context(), `SELECT count(DISTINCT pid) FROM pg_locks
				WHERE NOT granted AND pid IN (SELECT pid FROM pg_stat_activity WHERE datname = current_database())`).Scan(&waits); err != nil {
				t.Fatal(err)
			}
			if waits == n {
				return
			}
			select {
			case <-recorded:
				return
			case <-tick:
			}
		}
	}
	both.Go(func() error {
		return nodes[0].Record(context.WithoutCancel(t.Context()), []*call.Delivery{delivery(&other)})
	})
	waiting(1)
	both.Go(func() error {
		defer close(recorded)
		return nodes[1].Record(context.WithoutCancel(t.Context()), []*call.Delivery{delivery(agents)})
	})
	waiting(2)
	if err := lock.Rollback(); err != nil {
		t.Fatal(err)
	}
	if err := both.Wait(); err != nil {
		t.Fatal(err)
	}
	filled := *first
	filled.Fill(other)
	checkCalls(t, nodes[0], "support", map[string]call.Leg{row.Key: *row, "p": filled, "q": *second, "q2": *agents})
}

// TestManyReportsInOneDelivery: more than are locked one by one.
func TestManyReportsInOneDelivery(t *testing.T) {
	t.Parallel()
	forEachDatabase(t, func(t *testing.T, o store.Options) {
		s := open(t, o)
		legs := make([]*call.Leg, 1500)
		for i := range legs {
			legs[i] = guest(fmt.Sprintf("g-%d", i))
		}
		patient, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		if err := s.Record(patient, []*call.Delivery{delivery(legs...)}); err != nil {
			t.Fatal(err)
		}
		if n := must(s.CountCalls(t.Context(), call.Filter{}))(t); n != 1500 {
			t.Errorf("%d calls", n)
		}
	})
}

// TestHangingDatabase: everybody who waits for a database that hangs is told
// so when their time is over, not one after the other.
func TestHangingDatabase(t *testing.T) {
	t.Parallel()
	forEachDatabase(t, func(t *testing.T, o store.Options) {
		s := open(t, o)
		record(t, s, delivery(report("1.1")))
		driver, dsn, lock := "pgx", o.DSN, "LOCK TABLE legs IN EXCLUSIVE MODE"
		if dsn == "" {
			driver, dsn, lock = "sqlite", "file:"+o.Path+"?_txlock=immediate", "UPDATE legs SET id = id"
		}
		db, err := sql.Open(driver, dsn)
		if err != nil {
			t.Fatal(err)
		}
		defer func() {
			if err := db.Close(); err != nil {
				t.Error(err)
			}
		}()
		locked, err := db.BeginTx(t.Context(), nil)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := locked.ExecContext(t.Context(), lock); err != nil {
			t.Fatal(err)
		}
		began := time.Now()
		var wg sync.WaitGroup
		for i := range 6 {
			wg.Go(func() {
				ctx, cancel := context.WithTimeout(t.Context(), 1500*time.Millisecond)
				defer cancel()
				err := s.Record(ctx, []*call.Delivery{delivery(report(fmt.Sprintf("2.%d", i)))})
				if call.CodeOf(err) != call.Unavailable {
					t.Errorf("a hanging database gives %v", err)
				}
			})
		}
		wg.Wait()
		if took := time.Since(began); took > 12*time.Second {
			t.Errorf("the last was told after %s", took)
		}
		if err := locked.Rollback(); err != nil {
			t.Fatal(err)
		}
		record(t, s, delivery(report("3.1"))) // and on it goes
	})
}

func TestNamesBeyondASCII(t *testing.T) {
	t.Parallel()
	forEachDatabase(t, func(t *testing.T, o store.Options) {
		s := open(t, o)
		l := report("1.1")
		l.Agent.Name = "Özlem Çelik"
		record(t, s, delivery(l))
		for _, f := range []call.Filter{{Agent: "Özlem Çelik"}, {Text: "Özlem"}, {Agent: "ÖZLEM Çelik"}} {
			calls, _, err := s.FindCalls(t.Context(), f)
			if err != nil || len(calls) != 1 {
				t.Errorf("%+v finds %d calls, %v", f, len(calls), err)
			}
		}
	})
}

// TestLinksNeverJoin: a campaign and a click-to-call request are shared by many
// calls, which stay apart.
func TestLinksNeverJoin(t *testing.T) {
	t.Parallel()
	forEachDatabase(t, func(t *testing.T, o store.Options) {
		s := open(t, o)
		for i := range 3 {
			l := report(fmt.Sprintf("1.%d", i))
			l.AddKey(call.KeyCampaign, "shared")
			l.AddKey(call.KeyRequest, "request")
			record(t, s, delivery(l))
		}
		calls, _, err := s.FindCalls(t.Context(), call.Filter{Text: "shared"})
		if err != nil || len(calls) != 3 {
			t.Errorf("%d calls, %v", len(calls), err)
		}
	})
}

// TestPlans: what runs all day long reads by an index, however large the
// tables are.
func TestPlans(t *testing.T) {
	t.Parallel()
	path := t.TempDir() + "/callvault.db"
	s := open(t, store.Options{Path: path})
	var batch []*call.Delivery
	for i := range 50 {
		batch = append(batch, delivery(report(fmt.Sprintf("1.%d", i))))
	}
	record(t, s, batch...)
	db, err := sql.Open("sqlite", path)
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := db.Close(); err != nil {
			t.Error(err)
		}
	}()
	for _, q := range []string{
		"SELECT facts FROM legs WHERE (leg_key, account) IN (VALUES ('a','b'),('c','d'))",
		"SELECT facts FROM legs WHERE call_id IN (VALUES ('a'),('c'))",
		"SELECT account FROM call_keys WHERE (value, kind, account) IN (VALUES ('a','b','c'),('d','e','f'))",
		"SELECT account FROM live_calls WHERE (account, kind, value) IN (VALUES ('a','b','c'),('d','e','f'))",
		"SELECT id FROM deliveries WHERE uid IN (VALUES ('a'),('b'))",
		"SELECT id FROM recordings WHERE next_try_at <= 99 ORDER BY next_try_at LIMIT 8",
		"SELECT id FROM recordings WHERE call_id IN (VALUES ('a'),('b'))",
		"SELECT id FROM calls WHERE started_at >= 1 AND started_at < 2 AND (started_at, id) > (1, 'a') ORDER BY started_at, id LIMIT 500",
		"SELECT min(started_at) FROM calls WHERE customer_rev = 'a' AND customer_number = 'b' AND outcome = 'answered' AND started_at > 5",
		"UPDATE recordings SET reason = '' WHERE state = 'absent' AND (source, kind, account) IN (VALUES ('a','b','c'),('d','e','f'))",
		"UPDATE call_redirects SET call_id = 'a' WHERE call_id = 'b'",
		"DELETE FROM call_links WHERE call_id = 'a'",
		"SELECT l.facts FROM list_traces t JOIN legs l ON l.leg_key = t.leg_key AND l.account = t.account WHERE (t.value, t.account) IN (VALUES ('a','b'),('c','d'))",
		"SELECT l.facts FROM recordings r JOIN legs l ON l.call_id = r.call_id WHERE r.source = 'a' AND r.account = 'b'",
		"SELECT l.facts FROM calls c JOIN legs l ON l.call_id = c.id WHERE c.customer_rev = 'a' AND c.started_at >= 1 AND c.started_at <= 2 AND c.customer_number = 'b' AND c.account = 'c'",
	} {
		for _, step := range planOf(t, db, q) {
			for _, table := range []string{"legs", "call_keys", "live_calls", "deliveries", "recordings", "calls", "call_redirects", "call_links", "t", "l", "r", "c"} {
				if step == "SCAN "+table || step == "USE TEMP B-TREE FOR ORDER BY" {
					t.Errorf("%s:\n%s", q, step)
				}
			}
		}
	}
}

func planOf(t *testing.T, db *sql.DB, query string) (steps []string) {
	t.Helper()
	rows, err := db.QueryContext(t.Context(), "EXPLAIN QUERY PLAN "+query)
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := rows.Close(); err != nil {
			t.Error(err)
		}
	}()
	for rows.Next() {
		var id, parent, unused int
		var step string
		if err := rows.Scan(&id, &parent, &unused, &step); err != nil {
			t.Fatal(err)
		}
		steps = append(steps, step)
	}
	if err := rows.Err(); err != nil {
		t.Fatal(err)
	}
	return steps
}

// TestOrderOfIdentifiers: an identifier that its last leg has left attracts
// no others.
func TestOrderOfIdentifiers(t *testing.T) {
	t.Parallel()
	forEachDatabase(t, func(t *testing.T, o store.Options) {
		s := open(t, o)
		out := func(account, uuid, callID string) *call.Leg {
			l := &call.Leg{Account: account, Provider: call.TeleCMI, Key: uuid, Direction: call.Outbound, Side: call.SideA, Outcome: call.Missed, StartedAt: nine}
			l.AddKey(call.KeyCall, callID)
			l.AddKey(call.KeyConversation, "conv")
			return l
		}
		for n, order := range permutations(3) {
			account := fmt.Sprintf("a%d", n)
			legs := []*call.Leg{out(account, "a", ""), out(account, "a", "call"), out(account, "b", "")}
			for _, i := range order {
				record(t, s, delivery(legs[i]))
			}
			filled := *legs[0]
			filled.Fill(*legs[1])
			checkCalls(t, s, account, map[string]call.Leg{"a": filled, "b": *legs[2]})
		}
		// Whole batches, shuffled.
		for n := range 20 {
			account := fmt.Sprintf("b%d", n)
			legs := []*call.Leg{out(account, "a", ""), out(account, "a", "call"), out(account, "b", ""), out(account, "b", "call2")}
			rand.Shuffle(len(legs), func(i, j int) { legs[i], legs[j] = legs[j], legs[i] })
			record(t, s, delivery(legs[0]), delivery(legs[1]))
			record(t, s, delivery(legs[2:]...))
			filled := map[string]call.Leg{}
			for _, l := range legs {
				f, ok := filled[l.Key]
				if !ok {
					f = *l
				}
				f.Fill(*l)
				filled[l.Key] = f
			}
			checkCalls(t, s, account, filled)
		}
	})
}

// TestListAndReportOnTwoNodes: a row of a call list arrives on one node while
// the report that it is about, which it does not name, arrives on the other.
func TestListAndReportOnTwoNodes(t *testing.T) {
	t.Parallel()
	forEachDatabase(t, func(t *testing.T, o store.Options) {
		nodes := []*store.Store{open(t, o), open(t, o)}
		for i := range 40 {
			account := fmt.Sprintf("a%d", i)
			report := guest("g")
			row := *report
			row.Listed, row.Key, row.AnsweredAt = true, call.ListedKey("another id"), report.AnsweredAt.Add(2*time.Second)
			report.Account, row.Account = account, account
			var wg sync.WaitGroup
			for n, l := range []*call.Leg{report, &row} {
				wg.Go(func() {
					if err := nodes[n].Record(context.WithoutCancel(t.Context()), []*call.Delivery{delivery(l)}); err != nil {
						t.Error(err)
					}
				})
			}
			wg.Wait()
			checkCalls(t, nodes[0], account, map[string]call.Leg{report.Key: *report, row.Key: row})
			if calls := must(nodes[1].CountCalls(t.Context(), call.Filter{Account: account}))(t); calls != 1 {
				t.Fatalf("%d calls", calls)
			}
		}
	})
}
