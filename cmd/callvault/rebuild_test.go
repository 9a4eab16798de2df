package main

import (
	"context"
	"database/sql"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"callvault/archive"
	"callvault/internal/call"
	"callvault/internal/config"
	"callvault/internal/simulator"
	"callvault/internal/store"
	"callvault/internal/testenv"
	"callvault/webhook"

	"github.com/google/go-cmp/cmp"
)

// notRebuilt are the tables that a rebuild does not make again, and why.
func notRebuilt() map[string]string {
	return map[string]string{
		"goose_db_version":   "the schema's own",
		"audit_head":         "follows from the entries and their hashes",
		"sequences":          "ids go on behind those that were given, without those that were lost",
		"journal":            "who writes the journal now",
		"hold_follow":        "how far the work for holds is",
		"program_versions":   "which programs have written the rows",
		"scrub":              "begins anew",
		"faults":             "found again",
		"alerts":             "seen again",
		"erasure_key":        "a secret that is in no vault",
		"planned_files":      "what is being put is nobody's before it is there",
		"exports":            "of the data folder that they were made for",
		"retention_jobs":     "when the next one runs, and what the last came to",
		"storage_days":       "counted again from what lies in the vault",
		"users":              "secrets are not in the vault",
		"tokens":             "secrets are not in the vault",
		"sessions":           "people log in again",
		"watch":              "since when somebody has been watching",
		"activity":           "counted again from the deliveries",
		"recording_analyses": "analysed again",
		"disks":              "measured again",
		"readiness":          "learned again from what comes",
		"report_kinds":       "learned again from what comes",
		"traits":             "learned again from what comes",
		"members":            "asked for again at the provider",
		"member_lists":       "asked for again at the provider",
	}
}

// mayDiffer are the columns that may be different after a rebuild, and why.
func mayDiffer() map[string]string {
	return map[string]string{
		"live_calls.updated_at":          "when it was stored; afterwards, when the last of its lot was received",
		"recordings.missed_at":           "when it was last asked for in vain, which is learned from at once",
		"recording_media.analyse_at":     "analysed again",
		"recording_media.tries":          "analysed again",
		"recording_media.lease_token":    "of a worker that is no more",
		"recordings.wanted_at":           "pending ones are waited for as if they were new",
		"recordings.next_try_at":         "pending ones are waited for as if they were new",
		"holds.filled_at":                "compared with all calls again",
		"held_recordings.pushed_at":      "compared with the objects again",
		"audit_key.created_at":           "the time of the log's entry, which is written a moment later",
		"erasures.scanned":               "how far the search for a number was",
		"erasures.found_at":              "the time of the log's entry",
		"erasures.finished_at":           "the time of the log's entry",
		"erasures.certified_at":          "the time of the log's entry",
		"erasure_items.at":               "the time of the log's entry",
		"recordings.judged":              "judged again by today's rules",
		"recordings.verified_at":         "when its object was last read, which begins anew",
		"recordings.rule_until":          "judged again by today's rules",
		"journal_segments.promised_by":   "promised again by today's terms",
		"journal_segments.blocked_by":    "asked of the vault again",
		"journal_segments.blocked_until": "asked of the vault again",
		"audit_seals.promised_by":        "promised again by today's terms",
		"runs.lease_until":               "of a builder that is no more",
		"runs.promised_by":               "promised again by today's terms",
		"recordings.lease_token":         "of a worker that is no more",
	}
}

// tables reads all that a database holds, but for what a rebuild does not make
// again: a line for each row, "column=value …", sorted.
func tables(t *testing.T, in installation, s storage) map[string][]string {
	t.Helper()
	driver, dsn, list := "pgx", s.dsn, "SELECT table_name FROM information_schema.tables WHERE table_schema = current_schema()"
	if dsn == "" {
		driver, dsn, list = "sqlite", filepath.Join(in.data, databaseFile), "SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite_%'"
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
	found := map[string][]string{}
	for _, row := range rowsOf(t, db, list, "") {
		name := row[strings.Index(row, "=")+1:]
		if notRebuilt()[name] == "" {
			found[name] = rowsOf(t, db, "SELECT * FROM "+name, name) //nolint:unqueryvet // whatever it holds
		}
	}
	return found
}

func rowsOf(t *testing.T, db *sql.DB, query, table string) []string {
	t.Helper()
	rows, err := db.QueryContext(t.Context(), query)
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := rows.Close(); err != nil {
			t.Error(err)
		}
	}()
	columns, err := rows.Columns()
	if err != nil {
		t.Fatal(err)
	}
	var all []string
	for rows.Next() {
		values, into := make([]any, len(columns)), make([]any, len(columns))
		for i := range values {
			into[i] = &values[i]
		}
		if err := rows.Scan(into...); err != nil {
			t.Fatal(err)
		}
		var line []string
		for i, c := range columns {
			if _, may := mayDiffer()[table+"."+c]; may {
				continue
			}
			format := "%s=%v"
			if n, ok := values[i].(int64); ok && c == "seq" {
				values[i], format = n, "%s=%010d"
			}
			if b, ok := values[i].([]byte); ok && !strings.HasPrefix(c, "name") {
				values[i], format = b, "%s=%x"
			}
			line = append(line, fmt.Sprintf(format, c, values[i]))
		}
		all = append(all, strings.Join(line, " "))
	}
	if err := rows.Err(); err != nil {
		t.Fatal(err)
	}
	slices.Sort(all)
	return all
}

// rebuildResult is what `rebuild --json` gives.
type rebuildResult struct {
	Calls, Legs, Recordings, Deliveries, Segments, Adopted int
	Missing, Unknown                                       []string
	UnknownCount                                           int `json:"unknown_count"`
	Uncertain                                              int `json:"uncertain_mails"`
	OldSegments                                            int `json:"old_segments"`
	Faults                                                 []string
}

// TestRebuild makes the database again from the vault alone, and finds every
// row as it was: on each database, and from one to the other.
func TestRebuild(t *testing.T) {
	t.Parallel()
	const calls = 60
	for name, way := range map[string]struct{ from, to bool }{
		"SQLite": {false, false}, "PostgreSQL": {true, true}, "SQLite to PostgreSQL": {false, true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			database := func(postgres bool) (s storage) {
				if postgres {
					s.dsn = testenv.Postgres(t)
				}
				return s
			}
			from, to := database(way.from), database(way.to)
			vault := t.TempDir()
			in := livedIn(t, from, calls, "vault: {directory: "+vault+"}\n")
			stored, _ := in.openStored(t)
			if err := stored.AddUser(t.Context(), call.User{Name: "asha", Role: call.Viewer, PasswordHash: "x"}); err != nil {
				t.Fatal(err)
			}
			expireSome(t, in)
			eraseOne(t, in)
			before := tables(t, in, from)

			again := in
			again.data = t.TempDir()
			again.configure(t, to, "vault: {directory: "+vault+"}\n")
			got := commandJSON[rebuildResult](t, "rebuild", "--data", again.data)
			if got.Calls != len(before["calls"]) || got.Legs != len(before["legs"]) || got.Recordings != len(before["recordings"]) || len(got.Faults) != 0 {
				t.Errorf("got %+v, want %d calls, %d legs, %d recordings", got, len(before["calls"]), len(before["legs"]), len(before["recordings"]))
			}
			after := tables(t, again, to)
			// The log goes on with what was done to it, and by which version.
			log := after["audit_entries"]
			if !strings.Contains(log[len(log)-2], "action=database.rebuilt") || !strings.Contains(log[len(log)-1], "action=version.begun") {
				t.Errorf("the log does not tell of the rebuild: %s", log[len(log)-2:])
			}
			after["audit_entries"] = log[:len(log)-2]
			for table, rows := range before {
				if diff := cmp.Diff(rows, after[table]); diff != "" {
					t.Errorf("%s differs (-before +after):\n%.3000s", table, diff)
				}
			}
			// With its key it is an installation like any other.
			in.share(t, again, "audit.key")
			p := again.start(t)
			p.stop(syscall.SIGTERM)
			if got, _ := again.verify(t, "--only", "rows", "--only", "log"); len(got.Faults) > 0 {
				t.Errorf("faults: %+v", got.Faults)
			}
			if twice := command(t, "", "rebuild", "--data", again.data); twice.status != exitWrong || !strings.Contains(twice.stderr, "is not empty") {
				t.Errorf("a database in use was made again: %+v", twice)
			}
		})
	}
}

// expireSome lets the terms be over of half the calls of support, with their
// audio, and of half the deliveries of sales. Before that a recording is wanted
// again that was given up.
func expireSome(t *testing.T, in installation) {
	t.Helper()
	stored, vault := in.openStored(t)
	find := func(f call.Filter) []call.CallWithRecordings {
		f.Limit = 500
		found, _, err := stored.FindCalls(t.Context(), f)
		if err != nil || len(found) == 0 {
			t.Fatalf("%d calls: %v", len(found), err)
		}
		return found
	}
	for _, r := range find(call.Filter{Recording: call.Absent})[0].Recordings {
		if woken, err := stored.WakeRecording(t.Context(), r.ID); err != nil || !woken {
			t.Fatalf("woken: %v, %v", woken, err)
		}
	}
	claims, err := stored.ClaimRecordings(t.Context(), call.ClaimOptions{Limit: 10, Lease: time.Minute})
	if err != nil || len(claims) != 1 {
		t.Fatalf("%d claims: %v", len(claims), err)
	}
	if err := stored.MarkAbsent(t.Context(), claims[0].LeaseToken, "not offered again"); err != nil {
		t.Fatal(err)
	}
	now := time.Now()
	over := func(from time.Time) func(time.Time) time.Time {
		return func(start time.Time) time.Time { return start.Add(now.Sub(from)) }
	}
	apply := func(account string, o archive.RetainerOptions) archive.Applied {
		rules := call.Retention{Zones: map[string]*time.Location{account: time.UTC}}
		if o.Calls != nil {
			rules.Rules = []call.RetentionRule{{Name: account, Match: call.Filter{Account: account}, End: o.Calls}}
		}
		o.Store, o.Vault, o.Now, o.Rules = stored, vault, func() time.Time { return now }, func() call.Retention { return rules }
		r, err := archive.NewRetainer(o)
		if err != nil {
			t.Fatal(err)
		}
		applied, err := r.Apply(t.Context(), nil)
		if err != nil {
			t.Fatal(err)
		}
		return applied
	}
	support := find(call.Filter{Account: "support"})
	if got := apply("support", archive.RetainerOptions{Calls: over(support[len(support)/2].StartedAt)}); got.Calls < 3 || got.Deleted == 0 || got.Deliveries != 0 {
		t.Fatalf("calls of support: %+v", got)
	}
	deliveries, _, err := stored.FindDeliveries(t.Context(), call.DeliveryFilter{Account: "sales", Limit: 500})
	if err != nil || len(deliveries) == 0 {
		t.Fatalf("%d deliveries: %v", len(deliveries), err)
	}
	if got := apply("sales", archive.RetainerOptions{Deliveries: over(deliveries[len(deliveries)/2].ReceivedAt)}); got.Deliveries < 3 || got.Calls != 0 {
		t.Fatalf("deliveries of sales: %+v", got)
	}
}

// eraseOne erases the number of a call that no hold keeps, and lets the journal
// tell of it.
func eraseOne(t *testing.T, in installation) {
	t.Helper()
	stored, _ := in.openStored(t)
	found, _, err := stored.FindCalls(t.Context(), call.Filter{Recording: call.Archived, Limit: 50})
	if err != nil {
		t.Fatal(err)
	}
	number := found[0].CustomerNumber // a hold keeps this call
	i := slices.IndexFunc(found, func(c call.CallWithRecordings) bool { return len(c.CustomerNumber) > 9 && c.CustomerNumber != number })
	if i < 0 {
		t.Fatal("no call with another number")
	}
	if got := command(t, "", "erase", found[i].CustomerNumber, "--reason", "request of 2026-11-20", "--data", in.data); got.status != exitDone || strings.Contains(got.stdout, "Kept:") {
		t.Fatalf("erase: %+v", got)
	}
	in.start(t).stop(syscall.SIGTERM)
}

// share copies a file of the data folder to that of another node.
func (in installation) share(t *testing.T, with installation, name string) {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(in.data, name))
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(with.data, name), text, 0o600); err != nil {
		t.Fatal(err)
	}
}

// livedIn is an installation in which a day of calls came in, while two nodes
// ran if the database allows it, and which was ended properly.
func livedIn(t *testing.T, s storage, calls int, more string) installation {
	t.Helper()
	var server http.Handler
	in := install(t, s, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { server.ServeHTTP(w, r) }), more)
	day, err := simulator.NewDay(simulator.Options{Seed: 5, Calls: calls, Date: time.Now().AddDate(0, 0, -1), RecordingURL: in.provider.URL})
	if err != nil {
		t.Fatal(err)
	}
	server = simulator.NewServer(simulator.ServerOptions{AppID: demoAppID, Secret: teleSecret, Recordings: day.Recordings})
	nodes := []*program{in.start(t)}
	if s.dsn != "" {
		second := in
		second.data = t.TempDir()
		in.share(t, second, config.FileName)
		in.share(t, second, "audit.key")
		nodes = append(nodes, second.start(t))
	}
	var mu sync.Mutex
	turn := 0
	player := simulator.Player{Concurrency: 8, URL: func(account string) string {
		mu.Lock()
		defer mu.Unlock()
		turn++
		return nodes[turn%len(nodes)].url + "/webhook/" + account + "/" + map[string]string{"sales": salesToken, "support": supportToken}[account]
	}}
	if sent, err := player.Play(t.Context(), day.Events); err != nil || sent.Accepted != len(day.Events) {
		t.Fatalf("sent: %+v, %v", sent, err)
	}
	stored, _ := in.openStored(t)
	eventually(t, "all recordings are settled", func() bool {
		q, err := stored.QueueStats(context.WithoutCancel(t.Context()))
		if err != nil {
			t.Fatal(err)
		}
		return q.Pending == 0
	})
	found, _, err := stored.FindCalls(t.Context(), call.Filter{Recording: call.Archived, Limit: 1})
	if err != nil || len(found) != 1 {
		t.Fatalf("%d calls: %v", len(found), err)
	}
	if got := command(t, "", "hold", "place", "case 12", "--reason", "letter of <3 March>", "--call", found[0].ID, "--data", in.data); got.status != exitDone {
		t.Fatalf("hold: %+v", got)
	}
	for _, p := range nodes {
		p.stop(syscall.SIGTERM)
	}
	return in
}

// TestRebuildGoesOn: a rebuild that was interrupted in the middle of a segment
// goes on; until then no server starts on the database, and no command takes it
// for a whole one.
func TestRebuildGoesOn(t *testing.T) {
	t.Parallel()
	vault := t.TempDir()
	more := "vault: {directory: " + vault + "}\n"
	in := livedIn(t, storage{}, 20, more)
	before := tables(t, in, storage{})
	again := in
	again.data = t.TempDir()
	again.configure(t, storage{}, more)
	halfRebuilt(t, again)
	if got := command(t, "", "serve", "--data", again.data, "--listen", "127.0.0.1:0"); got.status != exitWrong || !strings.Contains(got.stderr, "run `callvault rebuild` to its end") {
		t.Errorf("a server started on half a database: %+v", got)
	}
	for _, args := range [][]string{
		{"verify"}, {"hold", "list"}, {"audit", "list"}, {"token", "add", "x", "--role", "viewer"}, {"export", "--out", filepath.Join(t.TempDir(), "x.zip")},
	} {
		if got := command(t, "", append(args, "--data", again.data)...); got.status != exitWrong || !strings.Contains(got.stderr, "run `callvault rebuild` to its end") {
			t.Errorf("%v worked on half a database: %+v", args, got)
		}
	}
	commandJSON[rebuildResult](t, "rebuild", "--data", again.data)
	after := tables(t, again, storage{})
	for _, table := range []string{"deliveries", "delivery_items", "legs", "calls", "call_keys", "call_redirects", "recordings"} {
		if diff := cmp.Diff(before[table], after[table]); diff != "" {
			t.Errorf("%s differs (-before +after):\n%.3000s", table, diff)
		}
	}
}

// halfRebuilt takes half of the first segment into an empty database.
func halfRebuilt(t *testing.T, in installation) {
	t.Helper()
	s, v := in.openStored(t)
	if _, err := s.BeginRebuild(t.Context()); err != nil {
		t.Fatal(err)
	}
	g, err := archive.ReadSegment(t.Context(), v, 1)
	if err != nil {
		t.Fatal(err)
	}
	c, err := config.Load(config.Options{Data: in.data})
	if err != nil {
		t.Fatal(err)
	}
	decoder, err := webhook.NewDecoder(webhookAccounts(c), webhook.Hooks{})
	if err != nil {
		t.Fatal(err)
	}
	g.Deliveries = g.Deliveries[:(len(g.Deliveries)+1)/2]
	decoded := (&rebuilder{decoder: decoder}).decode(g.Deliveries)
	if err := s.RebuildDeliveries(t.Context(), decoded, g.Deliveries, store.RebuildOptions{LiveMaxAge: liveMaxAge}); err != nil {
		t.Fatal(err)
	}
}

// TestRebuildSaysWhatIsLost: a segment or a recording that is gone, a recording
// that no segment knows, an object that nobody knows.
func TestRebuildSaysWhatIsLost(t *testing.T) {
	t.Parallel()
	vault := t.TempDir()
	more := "vault: {directory: " + vault + "}\n"
	in := livedIn(t, storage{}, 20, more)
	// The second run writes a second segment.
	p := in.start(t)
	l := newLoad(in)
	l.post(t.Context(), p.url, 3)
	p.stop(syscall.SIGTERM)
	recordings, err := filepath.Glob(filepath.Join(vault, "calls", "*", "*", "*", "*", "*.*"))
	if err != nil || len(recordings) < 3 {
		t.Fatalf("recordings: %v, %v", recordings, err)
	}
	if err := os.Remove(recordings[0]); err != nil {
		t.Fatal(err)
	}
	stranger := filepath.Join(filepath.Dir(recordings[1]), "01a2046c-c371-8895-8df2-8c9250b26409.wav")
	if err := os.WriteFile(stranger, []byte("RIFF"), 0o400); err != nil {
		t.Fatal(err)
	}
	rebuild := func(args ...string) (outcome, rebuildResult) {
		again := in
		again.data = t.TempDir()
		again.configure(t, storage{}, more)
		got := command(t, "", append([]string{"rebuild", "--json", "--data", again.data}, args...)...)
		var result rebuildResult
		if got.stdout != "" {
			if err := json.Unmarshal([]byte(got.stdout), &result); err != nil {
				t.Fatal(err)
			}
		}
		return got, result
	}
	key := func(file string) string {
		name, err := filepath.Rel(vault, file)
		if err != nil {
			t.Fatal(err)
		}
		return name
	}
	got, result := rebuild()
	if got.status != exitWrong || !slices.Equal(result.Missing, []string{key(recordings[0])}) || !slices.Equal(result.Unknown, []string{key(stranger)}) {
		t.Errorf("status %d, %+v\n%s", got.status, result, got.stderr)
	}
	// Without the last segments, what was archived then is adopted where its
	// report is known.
	segments, err := filepath.Glob(filepath.Join(vault, "journal", "*"))
	if err != nil || len(segments) < 2 {
		t.Fatalf("segments: %v, %v", segments, err)
	}
	whole, err := os.ReadFile(segments[0])
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(segments[0]); err != nil {
		t.Fatal(err)
	}
	if got, _ := rebuild(); got.status != exitWrong || !strings.Contains(got.stderr, "journal segment 1 ") || !strings.Contains(got.stderr, "--despite-faults") {
		t.Errorf("without the first segment: status %d\n%s", got.status, got.stderr)
	}
	if got, result := rebuild("--despite-faults"); got.status != exitWrong || len(result.Faults) != 1 || result.Calls < 3 {
		t.Errorf("despite faults: status %d, %+v\n%s", got.status, result, got.stderr)
	}
	if err := os.WriteFile(segments[0], whole, 0o400); err != nil {
		t.Fatal(err)
	}
	for _, s := range segments[1:] {
		if err := os.Remove(s); err != nil {
			t.Fatal(err)
		}
	}
	if got, result := rebuild(); result.Segments != 1 || result.Adopted+result.UnknownCount == 0 {
		t.Errorf("with the first segment alone: status %d, %+v\n%s", got.status, result, got.stderr)
	}
}
