package main

import (
	"maps"
	"net/http"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"callvault/archive"
	"callvault/internal/call"
	"callvault/internal/config"
	"callvault/internal/testenv"

	"github.com/google/go-cmp/cmp"
)

// puts are the requests that put an object, by its key.
type puts struct {
	mu   sync.Mutex
	seen map[string]http.Header
}

// between lets a bucket be reached through a proxy that remembers them.
func (p *puts) between(t *testing.T, b *testenv.Bucket) {
	t.Helper()
	p.seen = map[string]http.Header{}
	name := "/" + b.Name + "/"
	b.Endpoint = testenv.FaultyStore(t, b.Endpoint, func(r *http.Request) testenv.StoreFault {
		if key, ok := strings.CutPrefix(r.URL.Path, name); ok && r.Method == http.MethodPut && r.URL.RawQuery == "" {
			p.mu.Lock()
			defer p.mu.Unlock()
			p.seen[key] = r.Header.Clone()
		}
		return testenv.NoFault
	})
}

// TestEveryObjectIsLocked lets everything be put into a bucket that there is:
// each object carries mode and date from the request on that puts it, and a
// checksum, and verify knows what was promised.
func TestEveryObjectIsLocked(t *testing.T) {
	t.Parallel()
	for _, mode := range []archive.LockMode{archive.Governance, archive.Compliance} {
		t.Run(string(mode), func(t *testing.T) {
			t.Parallel()
			var seen puts
			b := locked(t)
			seen.between(t, b)
			s := storage{bucket: b, s3: "path_style: true, object_lock: " + string(mode)}
			in := install(t, s, anySize(), "retention: {recordings: [{keep: 3y}], deliveries: 5y, reports: 7y}\n")
			in.reporting(t)
			began := time.Now()
			p := in.start(t)
			l := newLoad(in)
			for _, sid := range []string{"1763700000.1", "1763700000.2"} {
				if !l.one(t.Context(), p.url, sid) {
					t.Fatal("a report was not taken")
				}
			}
			stored, v := in.openStored(t)
			eventually(t, "all recordings are archived", func() bool {
				q, err := stored.QueueStats(t.Context())
				return err == nil && q.Archived == 2
			})
			commandJSON[struct{}](t, "report", "daily", "--date", "2026-11-20", "--out", t.TempDir(), "--data", in.data)
			// Nothing of it can go yet, which its certificate says.
			commandJSON[struct{}](t, "erase", "+919812345678", "--reason", "asked for", "--data", in.data)
			p.stop(syscall.SIGTERM)

			zone, err := time.LoadLocation("Asia/Kolkata")
			if err != nil {
				t.Fatal(err)
			}
			years := func(from time.Time, n int) time.Time { return from.AddDate(n, 0, 0) }
			started := time.Date(2026, 11, 20, 14, 32, 30, 0, zone)
			sorts := map[string]struct{ from, to time.Time }{
				"calls":    {years(started, 3), years(started, 3)},
				"journal":  {years(began, 5), years(time.Now(), 5)},
				"reports":  {years(time.Date(2026, 11, 21, 0, 0, 0, 0, zone), 7), years(time.Date(2026, 11, 21, 0, 0, 0, 0, zone), 7)},
				"seals":    {years(began, 7), years(time.Now(), 7)},
				"erasures": {years(began, 7), years(time.Now(), 7)},
			}
			found := map[string]int{}
			for o, err := range v.List(t.Context(), "") {
				if err != nil {
					t.Fatal(err)
				}
				name, _, _ := strings.Cut(o.Key, "/")
				found[name]++
				info, err := v.Stat(t.Context(), o.Key)
				if err != nil {
					t.Fatal(err)
				}
				// Stores know seconds, and locks are rounded up.
				want, until := sorts[name], info.Protection.Until
				if info.LockMode != mode || until.Before(want.from.Truncate(time.Second)) || until.After(want.to.Add(time.Second)) {
					t.Errorf("%s is locked (%s) until %s, want %s to %s", o.Key, info.LockMode, until, want.from, want.to)
				}
				request := seen.seen[o.Key]
				for _, header := range []string{"X-Amz-Checksum-Sha256", "X-Amz-Object-Lock-Mode", "X-Amz-Object-Lock-Retain-Until-Date", "If-None-Match"} {
					if request.Get(header) == "" || !strings.Contains(request.Get("Authorization"), strings.ToLower(header)) {
						t.Errorf("%s was put without %s, or that was not signed", o.Key, header)
					}
				}
			}
			if diff := cmp.Diff(slices.Sorted(maps.Keys(sorts)), slices.Sorted(maps.Keys(found))); diff != "" {
				t.Errorf("sorts of objects (-want +got):\n%s", diff)
			}

			if got, status := in.verify(t); status != exitDone {
				t.Errorf("status %d: %+v", status, got.Faults)
			}
			// What the rows say now was promised is more than what locks.
			for _, statement := range []string{
				"UPDATE journal_segments SET retain_until = retain_until + 100000 WHERE number = 1",
				"UPDATE audit_seals SET retain_until = retain_until + 100000 WHERE size = (SELECT max(size) FROM audit_seals)",
				"UPDATE runs SET retain_until = retain_until + 100000",
			} {
				in.tamper(t, s, statement)
			}
			got, _ := in.verify(t)
			weaker := map[string]int{}
			for _, f := range got.Faults {
				if f.Kind != call.FaultWeaker {
					t.Errorf("%+v", f)
				}
				name, _, _ := strings.Cut(f.Where, "/")
				weaker[name]++
			}
			if diff := cmp.Diff(map[string]int{"journal": 1, "seals": 1, "reports": found["reports"]}, weaker); diff != "" {
				t.Errorf("locked less than promised (-want +got):\n%s", diff)
			}
		})
	}
}

// TestLocksFollowTerms starts with terms that lock little and goes on with
// longer ones: what is there already is locked for as long as what comes.
func TestLocksFollowTerms(t *testing.T) {
	t.Parallel()
	s := storage{dsn: testenv.Postgres(t), bucket: locked(t), s3: "object_lock: governance"}
	in := install(t, s, anySize(), "retention: {reports: 30d}\n")
	in.reporting(t)
	p := in.start(t)
	if l := newLoad(in); !l.one(t.Context(), p.url, "1763700000.1") {
		t.Fatal("a report was not taken")
	}
	if !strings.Contains(p.log(), "the journal is not locked") {
		t.Error("nobody is told that nothing locks the journal")
	}
	commandJSON[struct{}](t, "report", "daily", "--date", "2026-11-20", "--out", t.TempDir(), "--data", in.data)
	p.stop(syscall.SIGTERM)
	_, v := in.openStored(t)
	check := func(prefix string, from, to time.Time) {
		t.Helper()
		n := 0
		for o, err := range v.List(t.Context(), prefix) {
			if err != nil {
				t.Fatal(err)
			}
			n++
			if p, err := v.Protection(t.Context(), o.Key); err != nil || p.Until.Before(from) || p.Until.After(to) {
				t.Errorf("%s is locked until %s, %v, want %s to %s", o.Key, p.Until, err, from, to)
			}
		}
		if n == 0 {
			t.Errorf("there is nothing under %s", prefix)
		}
	}
	check("journal/", time.Time{}, time.Time{})
	check("seals/", time.Now().AddDate(0, 0, 29), time.Now().AddDate(0, 0, 31))

	in.configure(t, s, "retention: {reports: forever, recordings: [{keep: 3y, match: {group: Sales}}, {keep: forever}], wait_after_change: 0s}\n")
	applied := commandJSON[archive.Applied](t, "retention", "apply", "--data", in.data)
	if applied.Promised < 3 {
		t.Errorf("applied: %+v", applied)
	}
	// Of what is kept for ever ten years are promised.
	near := func(from time.Time) (time.Time, time.Time) { return from.AddDate(10, 0, -1), from.AddDate(10, 0, 1) }
	from, to := near(time.Now())
	check("journal/", from, to)
	check("seals/", from, to)
	from, to = near(time.Date(2026, 11, 21, 0, 0, 0, 0, time.UTC))
	check("reports/", from, to)
	if again := commandJSON[archive.Applied](t, "retention", "apply", "--data", in.data); again.Promised != 0 {
		t.Errorf("applied again: %+v", again)
	}
	if got, status := in.verify(t); status != exitDone {
		t.Errorf("status %d: %+v", status, got.Faults)
	}
}

func TestObjectTerms(t *testing.T) {
	t.Parallel()
	start := time.Date(2026, 2, 1, 0, 0, 0, 0, time.UTC)
	years := func(n int) time.Time { return start.AddDate(n, 0, 0) }
	term := func(n int) config.Term { return config.Term{Years: n} }
	rules := func(terms ...config.Term) (list []config.RetentionRule) {
		for _, t := range terms {
			list = append(list, config.RetentionRule{Keep: t})
		}
		return list
	}
	type ends struct{ Journal, Reports, Seals, Erasures time.Time }
	for name, tt := range map[string]struct {
		retention         config.Retention
		locked, notLocked ends
	}{
		"nothing is said": {config.Retention{}, ends{Reports: years(10), Seals: years(10), Erasures: years(10)}, ends{}},
		"reports": {
			config.Retention{Reports: term(2)}, ends{Reports: years(2), Seals: years(2), Erasures: years(2)}, ends{Reports: years(2), Seals: years(2), Erasures: years(2)},
		},
		"the longest counts for the journal": {
			config.Retention{Recordings: rules(term(7), term(3)), Deliveries: term(2), Calls: term(8), Reports: term(1)},
			ends{years(8), years(1), years(1), years(8)}, ends{years(8), years(1), years(1), years(8)},
		},
		"a term of its own for the journal": {
			config.Retention{Recordings: rules(term(7)), Deliveries: term(2), Calls: term(8), Journal: term(9), Reports: term(1)},
			ends{years(9), years(1), years(1), years(9)}, ends{years(9), years(1), years(1), years(9)},
		},
		"requests alone": {
			config.Retention{Deliveries: term(2), Reports: term(3)}, ends{years(2), years(3), years(3), years(3)}, ends{years(2), years(3), years(3), years(3)},
		},
		"audio for ever": {
			config.Retention{Recordings: rules(term(3), config.Term{}), Deliveries: term(2), Reports: term(1)},
			ends{years(10), years(1), years(1), years(10)}, ends{Reports: years(1), Seals: years(1)},
		},
	} {
		for locks, want := range map[bool]ends{true: tt.locked, false: tt.notLocked} {
			terms := objectTerms(&config.Config{Retention: tt.retention}, locks)
			of := func(sort call.ObjectSort) time.Time { return terms.Promise(sort, start) }
			got := ends{of(call.SegmentObjects), of(call.ReportObjects), of(call.SealObjects), of(call.CertificateObjects)}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("%s, locks: %t (-want +got):\n%s", name, locks, diff)
			}
		}
	}
}
