package store_test

import (
	"database/sql"
	"fmt"
	"maps"
	"slices"
	"testing"
	"time"

	"callvault/internal/call"
	"callvault/internal/store"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
)

func TestAnalyses(t *testing.T) {
	t.Parallel()
	forEachDatabase(t, func(t *testing.T, o store.Options) {
		s := open(t, o)
		next := func() *call.AnalysisClaim {
			t.Helper()
			c, err := s.ClaimAnalysis(t.Context(), time.Minute)
			if err != nil {
				t.Fatal(err)
			}
			return c
		}
		record(t, s, delivery(report("1.1")), delivery(report("1.2")), delivery(report("1.3")))
		if c := next(); c != nil {
			t.Fatalf("what is not archived was claimed: %+v", c)
		}
		var archived []string
		for _, c := range claim(t, s, call.ClaimOptions{}) {
			// An archive of an earlier version did not read what it is.
			if err := s.MarkArchived(t.Context(), c.LeaseToken, call.Archiving{ObjectKey: c.ID + ".wav", Size: 5}); err != nil {
				t.Fatal(err)
			}
			archived = append(archived, c.ID)
			for begin := time.Now().UnixMilli(); time.Now().UnixMilli() == begin; { //nolint:revive // the next one is later
			}
		}
		newest := next()
		if newest.ID != archived[2] || newest.ObjectKey != newest.ID+".wav" || newest.Tries != 1 {
			t.Fatalf("claimed %+v", newest)
		}
		if a, err := s.Analysis(t.Context(), newest.ID); err != nil || a.State != call.AnalysisPending {
			t.Errorf("an analysis under way is %+v, %v", a, err)
		}
		want := call.Analysis{State: call.Analysed, Silence: []float64{0.25, 1}, Peaks: [][]byte{{1, 2, 255}, {0, 0, 0}}}
		if err := s.MarkAnalysed(t.Context(), newest.LeaseToken, want, phoneAudio(7)); err != nil {
			t.Fatal(err)
		}
		got := must(s.Analysis(t.Context(), newest.ID))(t)
		if diff := cmp.Diff(want, got, cmpopts.IgnoreFields(call.Analysis{}, "AnalysedAt")); diff != "" || time.Since(got.AnalysedAt).Abs() > time.Minute {
			t.Errorf("at %s: %s", got.AnalysedAt, diff)
		}
		if r := must(s.Recording(t.Context(), newest.ID))(t); !cmp.Equal(r.Media, phoneAudio(7)) {
			t.Errorf("media is %+v", r.Media)
		}
		if err := s.MarkAnalysed(t.Context(), newest.LeaseToken, call.Analysis{State: call.NotAnalysed}, call.Media{}); call.CodeOf(err) != call.Conflict {
			t.Errorf("a mark after the lease gives %v", err)
		}
		// The next; given back, and found again; then one that went wrong.
		c := next()
		if c.ID != archived[1] {
			t.Fatalf("claimed %+v", c)
		}
		if err := s.ReleaseAnalysis(t.Context(), c.LeaseToken, 0, false); err != nil {
			t.Fatal(err)
		}
		if c = next(); c.ID != archived[1] || c.Tries != 1 {
			t.Fatalf("claimed %+v", c)
		}
		if err := s.ReleaseAnalysis(t.Context(), c.LeaseToken, time.Hour, true); err != nil {
			t.Fatal(err)
		}
		c = next()
		if c.ID != archived[0] {
			t.Fatalf("claimed %+v", c)
		}
		no := call.Analysis{State: call.NotAnalysed, Reason: "gsm_ms is not decoded"}
		if err := s.MarkAnalysed(t.Context(), c.LeaseToken, no, call.Media{}); err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(no, must(s.Analysis(t.Context(), c.ID))(t), cmpopts.IgnoreFields(call.Analysis{}, "AnalysedAt")); diff != "" {
			t.Error(diff)
		}
		if c := next(); c != nil {
			t.Errorf("claimed %+v", c)
		}
	})
}

// A worker that died leaves its recording to the next; what has gone leaves the
// queue.
func TestAnalysisLeaseRunsOut(t *testing.T) {
	t.Parallel()
	forEachDatabase(t, func(t *testing.T, o store.Options) {
		s := open(t, o)
		record(t, s, delivery(report("1.1")))
		if err := s.MarkArchived(t.Context(), claim(t, s, call.ClaimOptions{})[0].LeaseToken, call.Archiving{ObjectKey: "a", Media: phoneAudio(3)}); err != nil {
			t.Fatal(err)
		}
		dead := must(s.ClaimAnalysis(t.Context(), -time.Second))(t)
		alive := must(s.ClaimAnalysis(t.Context(), time.Minute))(t)
		if dead == nil || alive == nil || alive.ID != dead.ID || alive.Tries != 2 {
			t.Fatalf("claims are %+v and %+v", dead, alive)
		}
		for what, err := range map[string]error{
			"marks":    s.MarkAnalysed(t.Context(), dead.LeaseToken, call.Analysis{State: call.Analysed}, call.Media{}),
			"releases": s.ReleaseAnalysis(t.Context(), dead.LeaseToken, 0, true),
			"drops":    s.DropAnalysis(t.Context(), dead.LeaseToken),
		} {
			if call.CodeOf(err) != call.Conflict {
				t.Errorf("the dead %s with %v", what, err)
			}
		}
		if a := must(s.Analysis(t.Context(), dead.ID))(t); a.State != call.AnalysisPending {
			t.Errorf("the dead left %+v", a)
		}
		if err := s.DropAnalysis(t.Context(), alive.LeaseToken); err != nil {
			t.Fatal(err)
		}
		if c := must(s.ClaimAnalysis(t.Context(), time.Minute))(t); c != nil {
			t.Errorf("claimed %+v", c)
		}
	})
}

// How a recording sounded goes with it, and stays if the vault keeps it.
func TestAnalysisGoesWithItsRecording(t *testing.T) {
	t.Parallel()
	forEachDatabase(t, func(t *testing.T, o store.Options) {
		s := open(t, o)
		record(t, s, delivery(report("1.1")), delivery(report("1.2")))
		for _, c := range claim(t, s, call.ClaimOptions{}) {
			over := call.Judgement{Rule: "all", RuleUntil: nine}
			if err := s.MarkArchived(t.Context(), c.LeaseToken, call.Archiving{ObjectKey: c.ID, Judgement: over}); err != nil {
				t.Fatal(err)
			}
			a := must(s.ClaimAnalysis(t.Context(), time.Minute))(t)
			if err := s.MarkAnalysed(t.Context(), a.LeaseToken, call.Analysis{State: call.Analysed, Silence: []float64{1}, Peaks: [][]byte{{7}}}, call.Media{}); err != nil {
				t.Fatal(err)
			}
		}
		going := must(s.BeginExpiring(t.Context(), "", 10))(t)
		if len(going) != 2 {
			t.Fatalf("due are %+v", going)
		}
		gone, kept := call.Expiry{Expiring: going[0]}, call.Expiry{Expiring: going[1], KeptBy: "a lock", KeptUntil: time.Now().Add(time.Hour)}
		if err := s.FinishExpiring(t.Context(), []call.Expiry{gone, kept}); err != nil {
			t.Fatal(err)
		}
		for id, want := range map[string]call.AnalysisState{gone.ID: call.AnalysisPending, kept.ID: call.Analysed} {
			if a := must(s.Analysis(t.Context(), id))(t); a.State != want {
				t.Errorf("the analysis of %s is %s, want %s", must(s.Recording(t.Context(), id))(t).State, a.State, want)
			}
		}
	})
}

// What goes while somebody listens leaves nothing of how it sounded.
func TestAnalysisOfWhatHasGone(t *testing.T) {
	t.Parallel()
	forEachDatabase(t, func(t *testing.T, o store.Options) {
		s := open(t, o)
		record(t, s, delivery(report("1.1")))
		c := claim(t, s, call.ClaimOptions{})[0]
		if err := s.MarkArchived(t.Context(), c.LeaseToken, call.Archiving{ObjectKey: "a", Judgement: call.Judgement{Rule: "all", RuleUntil: nine}}); err != nil {
			t.Fatal(err)
		}
		a := must(s.ClaimAnalysis(t.Context(), time.Minute))(t)
		going := must(s.BeginExpiring(t.Context(), "", 10))(t)
		if err := s.FinishExpiring(t.Context(), []call.Expiry{{Expiring: going[0]}}); err != nil {
			t.Fatal(err)
		}
		if err := s.MarkAnalysed(t.Context(), a.LeaseToken, call.Analysis{State: call.Analysed, Silence: []float64{1}, Peaks: [][]byte{{7}}}, call.Media{}); err != nil {
			t.Fatal(err)
		}
		if a := must(s.Analysis(t.Context(), c.ID))(t); a.State != call.AnalysisPending {
			t.Errorf("left is %+v", a)
		}
	})
}

// What an earlier version did not analyse for want of a decoder is listened to
// again, after what is newer; what it did not for other reasons is not.
func TestDecodableIsAnalysedAgain(t *testing.T) {
	t.Parallel()
	forEachDatabase(t, func(t *testing.T, o store.Options) {
		s, err := store.Open(t.Context(), o)
		if err != nil {
			t.Fatal(err)
		}
		reasons := []string{
			"MP3 is not decoded", "gsm_ms is not decoded", "MP3 at 8 kHz (MPEG 2.5) is not decoded",
			"MP3 at 11.025 kHz (MPEG 2.5) is not decoded", "MP3 at 22.05 kHz is not decoded", "mp1 is not decoded",
			"this format is not decoded", // of GSM in bare frames
			"",
		}
		for i := range reasons {
			record(t, s, delivery(report(fmt.Sprintf("1.%d", i+1))))
		}
		byReason := map[string]string{}
		for i, c := range claim(t, s, call.ClaimOptions{}) {
			reason, mediaType := reasons[i], "audio/mpeg"
			if reason == "this format is not decoded" {
				mediaType = "audio/gsm"
			}
			if err := s.MarkArchived(t.Context(), c.LeaseToken, call.Archiving{ObjectKey: c.ID, MediaType: mediaType, Media: phoneAudio(3)}); err != nil {
				t.Fatal(err)
			}
			byReason[reason] = c.ID
			if reason == "" {
				continue // nobody has listened to it yet
			}
			mine := must(s.ClaimAnalysis(t.Context(), time.Minute))(t)
			if err := s.MarkAnalysed(t.Context(), mine.LeaseToken, call.Analysis{State: call.NotAnalysed, Reason: reason}, call.Media{}); err != nil {
				t.Fatal(err)
			}
		}
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
		driver, dsn := "pgx", o.DSN
		if dsn == "" {
			driver, dsn = "sqlite", o.Path
		}
		db, err := sql.Open(driver, dsn)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := db.ExecContext(t.Context(), "DELETE FROM goose_db_version WHERE version_id IN (31, 33)"); err != nil {
			t.Fatal(err)
		}
		if err := db.Close(); err != nil {
			t.Fatal(err)
		}
		s = open(t, o)
		delete(byReason, "mp1 is not decoded")
		var claimed []string
		for range byReason {
			c := must(s.ClaimAnalysis(t.Context(), time.Minute))(t)
			if c == nil || c.Tries != 1 {
				t.Fatalf("claimed %+v behind %v", c, claimed)
			}
			claimed = append(claimed, c.ID)
		}
		if claimed[0] != byReason[""] {
			t.Errorf("claimed %s first, want %s", claimed[0], byReason[""])
		}
		if diff := cmp.Diff(slices.Sorted(maps.Values(byReason)), slices.Sorted(slices.Values(claimed))); diff != "" {
			t.Error(diff)
		}
		if c := must(s.ClaimAnalysis(t.Context(), time.Minute))(t); c != nil {
			t.Errorf("claimed %+v", c)
		}
	})
}
