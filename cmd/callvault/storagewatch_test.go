package main

import (
	"context"
	"errors"
	"log/slog"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"callvault/internal/call"
	"callvault/internal/config"
	"callvault/internal/store"

	"github.com/prometheus/client_golang/prometheus"
)

// told is a retention that says what a test wants.
type toldRetention struct {
	outlook  call.Outlook
	standing call.RetentionStanding
	err      error
}

func (r *toldRetention) Outlook(context.Context) (call.Outlook, error) { return r.outlook, r.err }

func (r *toldRetention) Standing(context.Context) (call.RetentionStanding, error) {
	return r.standing, r.err
}

// The watch on storage opens alerts for a disk that fills, for what the vault
// keeps too long, and for a retention that fails or does not come.
func TestStorageWatch(t *testing.T) {
	t.Parallel()
	forEachDatabase(t, func(t *testing.T, s *store.Store) {
		began := time.Date(2026, 11, 21, 3, 0, 0, 0, time.UTC)
		now := began
		var r toldRetention
		folder := t.TempDir()
		w := newStorageWatch(&config.Config{Data: folder, Vault: config.Vault{Directory: folder}}, s, &r, began, prometheus.NewRegistry(), slog.New(slog.DiscardHandler))
		free := int64(0)
		w.measure = func(string) (int64, int64, error) {
			if free < 0 {
				return 0, 0, errors.New("no such disk")
			}
			return free, 1000, nil
		}
		locked := func(until time.Time) call.Outlook {
			var o call.Outlook
			o.Late.Add(call.PlanItem{Recording: call.Recording{Account: "sales"}, Why: call.KeptLocked, By: "a lock on the object", Until: until}, 2, 10)
			o.Late.Add(call.PlanItem{Recording: call.Recording{Account: "sales"}, Why: call.KeptHeld, By: "Case 7"}, 3, 30)
			return o
		}
		held := locked(began)
		held.Late.Kept = held.Late.Kept[1:]
		job := func(next, ended time.Time, result string) call.RetentionStanding {
			return call.RetentionStanding{Job: call.JobRun{NextAt: next, EndedAt: ended, Result: []byte(result)}}
		}
		const good, bad = `{"deleted": 1}`, `{"error": "the vault does not answer"}`
		night := began.Add(24 * time.Hour)
		for i, step := range []struct {
			at       time.Duration
			free     int64
			outlook  call.Outlook
			standing call.RetentionStanding
			want     string
		}{
			{free: 500, want: "retention over | blocked over | disk over"}, // by hand only
			{free: 500, standing: job(night, time.Time{}, ""), want: "blocked over | disk over"},
			{free: 49, standing: job(night, began, good), want: "retention over | blocked over | disk: A disk is nearly full: NODE, FOLDER has 49 B free of 1000 B. On"},
			{free: 500, outlook: call.Outlook{BytesPerDay: 50}, standing: job(night, began, bad),
				want: "retention: Retention came to no good end at 2026-11-21T03:00:00Z: the vault does not answer. | blocked over | disk: A disk is nearly full: NODE, FOLDER has 500 B free of 1000 B and will be full in about 10 days"},
			{free: 500, outlook: held, standing: job(night, began, good), want: "retention over | blocked over | disk over"},
			{free: 500, outlook: locked(began.AddDate(1, 0, 0)), standing: job(began, began.Add(-time.Hour), bad), // and is just due again
				want: "blocked: 2 recordings (10 B) have been due for two days or more, and the vault refuses to delete them: a lock on the object (account sales, the last until 2027-11-21). | disk over"},
			// A server that was off for long has just begun.
			{at: time.Hour, free: 500, standing: job(began.AddDate(0, 0, -9), began.AddDate(0, 0, -10), good), want: "retention over | blocked over | disk over"},
			{at: 47 * time.Hour, free: 500, standing: job(night, began, good), want: "retention over | blocked over | disk over"},
			{at: 48 * time.Hour, free: 500, standing: job(night, began, good), want: "retention: Retention should have come at 2026-11-22T03:00:00Z and did not | blocked over | disk over"},
			{at: 48 * time.Hour, free: -1, standing: job(night.Add(48*time.Hour), began, good), want: "retention over | blocked over | disk over"},
		} {
			now = began.Add(step.at)
			r.outlook, r.standing, free = step.outlook, step.standing, step.free
			if err := w.look(t.Context(), now); (err != nil) != (free < 0) {
				t.Fatalf("step %d: %v", i, err)
			}
			var got []string
			for _, c := range w.conditions(t.Context(), now) {
				kind := strings.TrimPrefix(string(c.Kind), "retention_")
				switch {
				case c.Bad && c.Since.IsZero():
					t.Errorf("step %d: %s since nobody knows when", i, c.Kind)
				case c.Bad:
					got = append(got, kind+": "+c.Sentence)
				case c.Well:
					got = append(got, kind+" over")
				}
			}
			want := strings.Split(strings.NewReplacer("NODE", w.node, "FOLDER", folder).Replace(step.want), " | ")
			ok := len(got) == len(want)
			for i := range min(len(got), len(want)) {
				ok = ok && strings.HasPrefix(got[i], want[i])
			}
			if !ok {
				t.Errorf("step %d:\n%q\nwant\n%q", i, got, want)
			}
		}
		// What cannot be asked neither opens nor closes anything.
		r.err = errors.New("the database does not answer")
		if err := w.look(t.Context(), now); err == nil {
			t.Error("nothing was wrong")
		}
		if c := w.retention(t.Context(), now); c.Bad || c.Well {
			t.Errorf("without an answer: %+v", c)
		}
	})
}

// The metrics show what is in the vault, what may go, and how full the disk is.
func TestStorageMetrics(t *testing.T) {
	t.Parallel()
	forEachDatabase(t, func(t *testing.T, s *store.Store) {
		var o call.Outlook
		o.Totals = []call.StorageTotal{{Account: "sales", Recordings: 9, Bytes: 90}, {Account: "support", Recordings: 1, Bytes: 10}}
		item := call.PlanItem{Recording: call.Recording{Account: "sales"}, By: "all: 1y"}
		o.Now.Add(item, 4, 40)
		item.By = "other"
		o.Now.Add(item, 1, 10)
		item.Why = call.KeptHeld
		o.Now.Add(item, 2, 20)
		registry := prometheus.NewRegistry()
		folder := t.TempDir()
		w := newStorageWatch(&config.Config{Data: folder, Vault: config.Vault{Directory: folder}}, s, &toldRetention{outlook: o}, time.Now(), registry, slog.New(slog.DiscardHandler))
		if err := w.look(t.Context(), time.Now()); err != nil {
			t.Fatal(err)
		}
		got := gauges(t, registry)
		for name, n := range map[string]float64{
			`callvault_retention_due_recordings sales`: 5, `callvault_retention_due_recordings support`: 0,
			`callvault_vault_bytes sales`: 90, `callvault_vault_bytes support`: 10,
			`callvault_retention_kept_recordings held`: 2, `callvault_retention_kept_recordings locked`: 0, `callvault_retention_kept_recordings promised`: 0,
		} {
			if g, ok := got[name]; !ok || g != n {
				t.Errorf("%s is %v, want %v", name, g, n)
			}
		}
		// The vault is on the disk of the data folder, a real one.
		free, size := got["callvault_disk_free_bytes data"], got["callvault_disk_size_bytes data"]
		if len(w.disks) != 1 || !w.disks[0].vault || free <= 0 || size < free {
			t.Errorf("disks %+v, %v of %v free", w.disks, free, size)
		}
		if _, _, err := measureDisk(filepath.Join(folder, "none")); err == nil {
			t.Error("a disk that is not there was measured")
		}
	})
}

// gauges are all of a registry, by name and label.
func gauges(t *testing.T, registry *prometheus.Registry) map[string]float64 {
	t.Helper()
	families, err := registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	all := map[string]float64{}
	for _, f := range families {
		for _, m := range f.GetMetric() {
			all[f.GetName()+" "+m.GetLabel()[0].GetValue()] = m.GetGauge().GetValue()
		}
	}
	return all
}
