package main

import (
	"log/slog"
	"strings"
	"testing"
	"time"

	"callvault/internal/call"
	"callvault/internal/config"
	"callvault/internal/store"
	"callvault/reports"

	"github.com/prometheus/client_golang/prometheus"
)

// After three runs in a row that could not be made there is one alert, which
// the next good run ends.
func TestReportWatch(t *testing.T) {
	t.Parallel()
	forEachDatabase(t, func(t *testing.T, s *store.Store) {
		now := time.Date(2026, 11, 21, 3, 0, 0, 0, time.UTC)
		logger := slog.New(slog.DiscardHandler)
		reporter, err := reports.New(reports.Options{
			Store: s, Now: time.Now, Log: logger,
			Reports: []reports.Report{{Name: "daily", Schedule: "0 7 * * *", Zone: time.UTC, Period: reports.Day}},
		})
		if err != nil {
			t.Fatal(err)
		}
		watcher, err := newWatcher(&config.Config{}, s, reportConditions(reporter, logger), func() time.Time { return now }, prometheus.NewRegistry(), logger)
		if err != nil {
			t.Fatal(err)
		}
		run := func(good bool) {
			t.Helper()
			now = now.Add(24 * time.Hour)
			run, lease, won, err := s.ReserveRun(t.Context(), call.Run{Report: "daily", PeriodFrom: now.Add(-27 * time.Hour), PeriodTo: now.Add(-3 * time.Hour), Zone: "UTC"}, time.Minute)
			switch {
			case err != nil || !won:
			case good:
				err = s.FinishRun(t.Context(), lease, run)
			default:
				err = s.FailRun(t.Context(), lease, "The vault does not answer.")
			}
			if err != nil || !won {
				t.Fatalf("%t, %v", won, err)
			}
			watcher.Look(t.Context())
		}
		alerts := func() []call.Alert {
			t.Helper()
			found, _, err := s.FindAlerts(t.Context(), call.AlertFilter{Kind: call.AlertReports})
			if err != nil {
				t.Fatal(err)
			}
			return found
		}
		run(false)
		run(false)
		if got := alerts(); len(got) != 0 {
			t.Fatalf("after two: %+v", got)
		}
		run(false)
		run(false)
		got := alerts()
		if len(got) != 1 || !got[0].IsOpen() || !strings.Contains(got[0].Opening, "Report daily came to no good end 3 times in a row. The last, of 2026-11-23: The vault does not answer.") {
			t.Fatalf("after four: %+v", got)
		}
		run(true)
		if got := alerts(); len(got) != 1 || got[0].IsOpen() {
			t.Errorf("when it is well: %+v", got)
		}
	})
}
