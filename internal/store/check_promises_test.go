package store_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"callvault/internal/audit"
	"callvault/internal/call"
	"callvault/internal/store"

	"github.com/google/go-cmp/cmp"
)

// tampering is a change of rows, and what is named then.
type tampering struct {
	name, change string
	want         []string
}

// expectFaults makes one change after the other in these tables, and expects just
// what each wants.
func expectFaults(t *testing.T, o store.Options, s *store.Store, verifier string, tables []string, all []tampering) {
	t.Helper()
	if got := checkAllOfLog(t, s, verifier, 500); len(got) != 0 {
		t.Fatalf("before: %v", got)
	}
	restore := remember(t, o, tables...)
	for _, tt := range all {
		tamper(t, o, tt.change)
		if diff := cmp.Diff(tt.want, checkAllOfLog(t, s, verifier, 500)); diff != "" {
			t.Errorf("%s (-want +got):\n%s", tt.name, diff)
		}
		restore()
	}
	if got := checkAllOfLog(t, s, verifier, 3); len(got) != 0 {
		t.Errorf("after: %v", got)
	}
	for _, table := range tables {
		tamperAny(t, o, "DROP TABLE "+table+"_copy")
	}
}

// wantedAt makes a report of a call whose recording lies at a URL that Source alone
// does not tell.
func wantedAt(key, source, location string) *call.Leg {
	l := report(key)
	l.Recordings = []call.Wanted{{Kind: call.Conversation, Source: source, Location: location}}
	return l
}

// TestCheckQueue: a recording that is wanted cannot be put off, nor given up, by
// hand; nor be fetched from elsewhere, nor one that is settled be fetched again.
func TestCheckQueue(t *testing.T) {
	t.Parallel()
	forEachDatabase(t, func(t *testing.T, o store.Options) {
		s, verifier, archived := sealed(t, o)
		const file = "https://a.example/x.wav"
		// One file that two calls name, and one without more than a name. Text that
		// JSON spells otherwise is no fault.
		record(t, s, delivery(wantedAt("5.1", file, file+"?id=5")), delivery(wantedAt("7.1", "y.wav", "")), delivery(wantedAt("8.1", `z".wav`, file+"?id=8&t=<1>\u2028")))
		record(t, s, delivery(wantedAt("6.1", file, file+"?id=6")))
		id := func(source string) (id string) {
			t.Helper()
			if err := raw(t, o).QueryRowContext(t.Context(), "SELECT id FROM recordings WHERE source = '"+source+"'").Scan(&id); err != nil {
				t.Fatal(err)
			}
			return "recording recording/" + id
		}
		two, plain, quoted, done := id(file), id("y.wav"), id(`z".wav`), "recording recording/"+archived
		year2999 := fmt.Sprint(time.Date(2999, 1, 1, 0, 0, 0, 0, time.UTC).UnixMilli())
		change := func(source, set string) string {
			return "UPDATE recordings SET " + set + " WHERE source = '" + source + "'"
		}
		settled := func(set string) string { return "UPDATE recordings SET " + set + " WHERE id = '" + archived + "'" }
		expectFaults(t, o, s, verifier, []string{"recordings", "account_pauses"}, []tampering{
			{"put off for ever", change(file, "next_try_at = "+year2999), []string{two}},
			{"wanted by nobody", change("y.wav", "next_try_at = NULL"), []string{plain}},
			{"wanted since the year 2999", change("y.wav", "wanted_at = "+year2999), []string{plain}},
			{"wanted for long", change("y.wav", "wanted_at = 1"), []string{plain}},
			{"from elsewhere", change(file, "location = 'https://elsewhere.example/x.wav'"), []string{two}},
			{"another file", change("y.wav", "source = 'w.wav'"), []string{plain}},
			{"from nowhere", change(file, "location = ''"), []string{two}},
			{"from elsewhere, of one that told nothing", change("y.wav", "location = 'https://elsewhere.example/x.wav'"), []string{plain}},
			{"from elsewhere, spelled otherwise", change(`z".wav`, "location = 'https://elsewhere.example/x.wav'"), []string{quoted}},
			{"another kind", change("y.wav", "kind = 'voicemail'"), []string{plain}},
			{"where archived audio lay", settled("location = 'https://elsewhere.example/x.wav'"), []string{done}},
			{"archived, and fetched again", settled("next_try_at = 1"), []string{done}},
			{"why", settled("reason = 'x'"), []string{done}},
			{"until when by its rule", settled("rule_until = 1"), []string{done}},
			{"since when it was wanted", settled("wanted_at = wanted_at + 1"), []string{done}},
			{"how often it was tried", settled("attempts = attempts + 1"), []string{done}},
			{"what went wrong", settled("last_error = 'x'"), []string{done}},
			{"what keeps it", settled("blocked_by = 'x', blocked_until = " + year2999), []string{done}},
		})
		// While the account is paused nobody is to fetch them, and just after it.
		for _, step := range []struct {
			name string
			do   func() error
		}{
			{"claimed", func() error {
				_, err := s.ClaimRecordings(t.Context(), call.ClaimOptions{Limit: 1, Lease: time.Minute})
				return err
			}},
			{"paused", func() error { return s.PauseAccount(t.Context(), "sales", "x") }},
			{"woken, and not all have followed", func() error {
				err := s.WakeAccount(t.Context(), "sales")
				tamper(t, o, change("y.wav", "next_try_at = NULL"))
				return err
			}},
			{"woken", func() error { return s.WakeAccount(t.Context(), "sales") }},
		} {
			if err := step.do(); err != nil {
				t.Fatal(err)
			}
			if got := checkAllOfLog(t, s, verifier, 500); len(got) != 0 {
				t.Errorf("%s: %v", step.name, got)
			}
		}
	})
}

// TestCheckRunRows: until when a run's files are promised to stay, what keeps them,
// and what the run knows.
func TestCheckRunRows(t *testing.T) {
	t.Parallel()
	forEachDatabase(t, func(t *testing.T, o store.Options) {
		s, verifier, _ := sealed(t, o)
		reserve := func(from time.Time) (call.Run, string) {
			t.Helper()
			run, token, won, err := s.ReserveRun(t.Context(), call.Run{Report: "daily", PeriodFrom: from, PeriodTo: from.Add(24 * time.Hour), Zone: "UTC"}, time.Minute)
			if err != nil || !won {
				t.Fatal(won, err)
			}
			return run, token
		}
		until := nine.AddDate(7, 0, 0)
		run, token := reserve(nine)
		run.Revision, run.AsOf, run.InputHash, run.KnownDeliveries, run.RetainUntil = 1, nine.Add(25*time.Hour), "ab", 1, until
		run.Files = []call.RunFile{{Name: "daily.csv", ObjectKey: "reports/daily/r1-ab/daily.csv", Size: 3, SHA256: "ef", Revision: 1}}
		if err := s.FinishRun(t.Context(), token, run); err != nil {
			t.Fatal(err)
		}
		record(t, s, delivery(report("9.1")))
		place := "run run/" + run.ID
		row := func(set string) string { return "UPDATE runs SET " + set + " WHERE id = '" + run.ID + "'" }
		planned := func(key string) string {
			return "INSERT INTO planned_files (object_key, run_id, name, size, sha256, revision) VALUES ('" + key + "', '" + run.ID + "', 'x', 1, 'x', 1)"
		}
		tables := []string{"planned_files", "runs"}
		year2999 := fmt.Sprint(time.Date(2999, 1, 1, 0, 0, 0, 0, time.UTC).UnixMilli())
		always := []tampering{
			{"promises less", row("retain_until = retain_until - 1"), []string{place}},
			{"promises nothing", row("retain_until = NULL"), []string{place}},
			{"what keeps it", row("blocked_by = 'x'"), []string{place}},
			{"until when something keeps it", row("blocked_until = " + year2999), []string{place}},
			{"knows of all that will ever come", row("known_deliveries = 9000000000000000"), []string{place}},
			{"was looked at in the year 2999", row("looked_at = " + year2999), []string{place}},
			{"a recording is put for it", planned("calls/a.wav"), []string{place}},
		}
		expectFaults(t, o, s, verifier, tables, append(always,
			tampering{"knows of more than when it was built", row("known_deliveries = known_deliveries + 1"), []string{place}},
			tampering{"was looked at before it was built", row("known_deliveries = known_deliveries + 1, looked_at = as_of - 1"), []string{place}},
		))
		// What is known after a look is nobody's business.
		drawn := must(s.SettledDeliveries(t.Context()))(t)
		if err := s.NoteLooked(t.Context(), []string{run.ID}, nine.Add(26*time.Hour), drawn); err != nil {
			t.Fatal(err)
		}
		if err := s.KeepRunFiles(t.Context(), run.ID, true, "a lock on the object", until); err != nil {
			t.Fatal(err)
		}
		expectFaults(t, o, s, verifier, tables, always)

		// More is promised while somebody revises it: he put his files for less.
		stale := must(s.Run(t.Context(), run.ID))(t)
		lease, won, err := s.ReserveRevision(t.Context(), run.ID, 1, time.Time{}, time.Minute)
		if err != nil || !won {
			t.Fatal(won, err)
		}
		later := until.AddDate(1, 0, 0)
		if err := s.SavePromised(t.Context(), call.ReportObjects, "reports: 8y", []call.Promised{{ID: run.ID, Was: until, RetainUntil: later}}); err != nil {
			t.Fatal(err)
		}
		stale.Revision = 2
		if err := s.FinishRun(t.Context(), lease, stale); call.CodeOf(err) != call.Conflict {
			t.Errorf("files that are locked for less than promised were taken: %v", err)
		}
		told := must(s.AuditHead(t.Context()))(t).Size - 1
		less := tampering{"promises less than was told later", row(fmt.Sprintf("retain_until = %d", until.UnixMilli())), []string{fmt.Sprintf("log log/%d", told)}}
		expectFaults(t, o, s, verifier, tables, []tampering{less})
		stale.RetainUntil = later
		if err := s.FinishRun(t.Context(), lease, stale); err != nil {
			t.Fatal(err)
		}
		// Now it is the run's own entry that tells.
		less.want = []string{place}
		expectFaults(t, o, s, verifier, tables, []tampering{less})
	})
}

// TestCheckOlderEntries: what entries of earlier versions do not tell is not
// compared.
func TestCheckOlderEntries(t *testing.T) {
	t.Parallel()
	forEachDatabase(t, func(t *testing.T, o store.Options) {
		s, verifier, id := sealed(t, o)
		run := built(t, s, 1)
		tellAgain := func(subject string, action audit.Action, change func(facts map[string]json.RawMessage)) {
			t.Helper()
			found, _, err := s.FindAudit(t.Context(), audit.Filter{Subject: subject, Limit: 1})
			if err != nil || len(found) != 1 {
				t.Fatal(found, err)
			}
			facts := map[string]json.RawMessage{} // which leaves the order within as it is
			if err := json.Unmarshal(found[0].Facts, &facts); err != nil {
				t.Fatal(err)
			}
			change(facts)
			e, err := audit.New(action, subject, facts)
			if err == nil {
				err = s.Audit(t.Context(), e)
			}
			if err != nil {
				t.Fatal(err)
			}
		}
		tellAgain("run/"+run.ID, audit.RunFilesKept, func(facts map[string]json.RawMessage) { delete(facts, "known_deliveries") })
		tamper(t, o, "UPDATE runs SET known_deliveries = 1, blocked_by = 'x', blocked_until = 5")
		tellAgain("recording/"+id, audit.RecordingKept, func(facts map[string]json.RawMessage) {
			facts["due_at"] = json.RawMessage(nine.Format(`"2006-01-02T15:04:05Z"`))
		})
		tamper(t, o, fmt.Sprintf("UPDATE recordings SET due_at = %d, rule_until = %d, blocked_by = 'x', blocked_until = 5", nine.UnixMilli(), nine.UnixMilli()))
		if got := checkAllOfLog(t, s, verifier, 500); len(got) != 0 {
			t.Errorf("faults: %v", got)
		}
	})
}

// TestCheckSealsAndSegments: a seal and a segment say themselves until when they
// are promised to stay, and the log what was promised later.
func TestCheckSealsAndSegments(t *testing.T) {
	t.Parallel()
	forEachDatabase(t, func(t *testing.T, o store.Options) {
		s := open(t, o)
		text, err := audit.NewKey()
		if err != nil {
			t.Fatal(err)
		}
		key, err := audit.ReadKey(text)
		if err == nil {
			err = s.UseAuditKey(t.Context(), key.Verifier())
		}
		if err != nil {
			t.Fatal(err)
		}
		until := nine.AddDate(7, 0, 0)
		seal, err := key.SignHead(must(s.AuditHead(t.Context()))(t), nine, until)
		if err != nil {
			t.Fatal(err)
		}
		// Another node has put its own meanwhile, for longer.
		planned, err := key.SignHead(seal.Head, nine.Add(-time.Second), until.Add(-time.Second))
		if err != nil {
			t.Fatal(err)
		}
		if ok, err := s.PlanSeal(t.Context(), planned, planned.ObjectKey(), planned.RetainUntil); err != nil || !ok {
			t.Fatal(ok, err)
		}
		if err := s.NoteSealPut(t.Context(), seal, seal.RetainUntil); err != nil {
			t.Fatal(err)
		}
		if won, err := s.ClaimJournal(t.Context(), "me", time.Minute); err != nil || !won {
			t.Fatal(won, err)
		}
		var segments []call.JournalSegment
		for n := range int64(2) {
			g := call.JournalSegment{Number: n + 1, At: nine, EntriesFrom: n, EntriesTo: n + 1, RetainUntil: until}
			if err := s.PlanSegment(t.Context(), "me", g, 0); err != nil {
				t.Fatal(err)
			}
			g.SHA256, g.Size = strings.Repeat(fmt.Sprint(n), 64), 9
			if err := s.FinishSegment(t.Context(), "me", g); err != nil {
				t.Fatal(err)
			}
			segments = append(segments, g)
		}
		kept := until.AddDate(1, 0, 0)
		if err := s.KeepSegment(t.Context(), call.SegmentKept{Number: 1, KeptBy: "a lock on the object", Until: kept, Again: kept}); err != nil {
			t.Fatal(err)
		}
		later := until.AddDate(2, 0, 0)
		for sort, id := range map[call.ObjectSort]string{call.SealObjects: fmt.Sprint(seal.Size), call.SegmentObjects: "2"} {
			if err := s.SavePromised(t.Context(), sort, "longer", []call.Promised{{ID: id, Was: until, RetainUntil: later}}); err != nil {
				t.Fatal(err)
			}
		}
		entryOf := func(sort call.ObjectSort) string {
			t.Helper()
			for _, e := range must(s.AuditEntries(t.Context(), 0, 100))(t) {
				if e.Action == audit.ObjectsRetained && strings.Contains(string(e.Facts), `"sort":"`+string(sort)+`"`) {
					return fmt.Sprintf("log log/%d", e.Seq)
				}
			}
			t.Fatal("nothing is told of ", sort)
			return ""
		}
		year2999 := fmt.Sprint(time.Date(2999, 1, 1, 0, 0, 0, 0, time.UTC).UnixMilli())
		sealPlace := "seal " + seal.ObjectKey()
		expectFaults(t, o, s, key.Verifier(), []string{"audit_seals", "journal_segments"}, []tampering{
			{"seal, less than was told later", fmt.Sprintf("UPDATE audit_seals SET retain_until = %d", until.UnixMilli()), []string{entryOf(call.SealObjects)}},
			{"seal, less than it says itself", fmt.Sprintf("UPDATE audit_seals SET retain_until = %d", until.UnixMilli()-1), []string{entryOf(call.SealObjects), sealPlace}},
			{"seal, nothing", "UPDATE audit_seals SET retain_until = NULL", []string{entryOf(call.SealObjects), sealPlace}},
			{"segment, less than was told later", "UPDATE journal_segments SET retain_until = retain_until - 1 WHERE number = 2", []string{entryOf(call.SegmentObjects)}},
			{"segment, nothing", "UPDATE journal_segments SET retain_until = NULL WHERE number = 2", []string{entryOf(call.SegmentObjects)}},
			{"segment, another revision", "UPDATE journal_segments SET revision = 3 WHERE number = 2", []string{"segment journal/2"}},
			{"segment, kept for ever", "UPDATE journal_segments SET blocked_until = " + year2999 + " WHERE number = 2", []string{"segment journal/2"}},
			{"segment, kept for longer", "UPDATE journal_segments SET blocked_until = blocked_until + 1 WHERE number = 1", []string{"segment journal/1"}},
		})
		// What a segment says of itself.
		rows := s.NewJournalCheck()
		for want, set := range map[string]string{"": "retain_until + 1", "promised": "NULL"} {
			tamper(t, o, "UPDATE journal_segments SET retain_until = "+set+" WHERE number = 1")
			checked, err := rows.CheckSegment(t.Context(), segments[0])
			if err != nil || (len(checked.Faults) == 0) != (want == "") || want != "" && !strings.Contains(checked.Faults[0].What, want) {
				t.Errorf("%s: %+v, %v", set, checked, err)
			}
			tamper(t, o, fmt.Sprintf("UPDATE journal_segments SET retain_until = %d WHERE number = 1", until.UnixMilli()))
		}
	})
}
