package main

import (
	"context"
	"fmt"
	"log/slog"
	"strconv"
	"time"

	"callvault/archive"
	"callvault/internal/call"
	"callvault/internal/config"
	"callvault/internal/store"
	"callvault/internal/watch"

	"github.com/prometheus/client_golang/prometheus"
)

// scrubObjects is how many objects a step of the scrub reads: few, so that it
// soon gives way to what is more urgent.
const scrubObjects = 20

// scrubRecordings and scrubListing are the parts of the scrub that look at the
// vault: one reads, a few objects at a time, what the rows name, the other lists
// what lies there. The command reads all as it lists it, in one part.
const scrubRecordings, scrubListing = "recordings", "listing"

// newScrubber checks everything that is kept, a little at a time; nil if it is
// switched off.
func newScrubber(c *config.Config, s *store.Store, v archive.Vault, busy func() bool, registry prometheus.Registerer, logger *slog.Logger) (*archive.Scrubber, error) {
	if c.Verify.Scrub == 0 {
		return nil, nil //nolint:nilnil // there is none
	}
	return archive.NewScrubber(scrubOptions(c, s, v, busy, registry, logger))
}

func scrubOptions(c *config.Config, s *store.Store, v archive.Vault, busy func() bool, registry prometheus.Registerer, logger *slog.Logger) archive.ScrubOptions {
	verifier := archive.NewVerifier(archive.VerifyOptions{
		Store: s, Vault: v, Workers: 1, Rate: int64(c.Verify.Rate), Found: func(call.Checked) error { return nil },
	})
	count := func(name string) func(context.Context) (int64, error) {
		return func(ctx context.Context) (int64, error) {
			counts, err := s.CountKept(ctx)
			return counts[name], err
		}
	}
	// What an object weighs against a row.
	const objectWeight = 20
	parts := []archive.ScrubPart{
		{
			Name: scrubRecordings, Weight: objectWeight, Count: count("recordings"),
			Check: func(ctx context.Context, after string) ([]call.Checked, string, error) {
				return verifier.Page(ctx, after, scrubObjects)
			},
		},
		{
			Name: scrubListing, Weight: 0, Count: count("recordings"),
			Check: func(ctx context.Context, _ string) ([]call.Checked, string, error) {
				checked, err := verifier.Listing(ctx)
				return checked, "", err
			},
		},
	}
	journal := s.NewJournalCheck()
	parts = append(parts, archive.ScrubPart{
		Name: "journal", Weight: 1, Count: count("journal"),
		Check: func(ctx context.Context, after string) ([]call.Checked, string, error) {
			last, err := strconv.ParseInt("0"+after, 10, 64)
			if err != nil {
				return nil, "", err
			}
			checked, number, err := verifier.Segment(ctx, journal, last)
			if number == 0 {
				return checked, "", err
			}
			return checked, strconv.FormatInt(number, 10), err
		},
	})
	rows := map[string]func(context.Context, call.CheckOptions, string, int) (call.Checked, error){
		"calls": s.CheckCalls, "legs": s.CheckLegs, "deliveries": s.CheckDeliveries, "identifiers": s.CheckIdentifiers, "rows": s.CheckRows, "log": s.CheckLog,
	}
	for _, name := range []string{"calls", "legs", "deliveries", "identifiers", "rows", "log"} {
		parts = append(parts, archive.ScrubPart{
			Name: name, Weight: 1, Count: count(name),
			Check: func(ctx context.Context, after string) ([]call.Checked, string, error) {
				o, err := checkOptions(ctx, c, s)
				if err != nil {
					return nil, "", err
				}
				checked, err := rows[name](ctx, o, after, checkPage)
				return []call.Checked{checked}, checked.Next, err
			},
		})
	}
	return archive.ScrubOptions{
		Store: s, Parts: parts, Period: time.Duration(c.Verify.Scrub), Busy: busy, Now: time.Now, Logger: logger, Metrics: registry,
		Again: func(ctx context.Context, f call.Fault) ([]call.Checked, error) {
			switch f.Kind {
			case call.FaultCall, call.FaultLeg, call.FaultDelivery:
				o, err := checkOptions(ctx, c, s)
				if err != nil {
					return nil, err
				}
				checked, err := s.CheckAgain(ctx, o, f.Where)
				return []call.Checked{checked}, err
			case call.FaultRecording, call.FaultRun, call.FaultMail, call.FaultHold, call.FaultErasure, call.FaultUser, call.FaultToken,
				call.FaultExport, call.FaultAccount, call.FaultReport, call.FaultRedirect, call.FaultIdentifier, call.FaultFault:
				checked, err := s.CheckAgain(ctx, call.CheckOptions{}, f.Where)
				if len(checked.Where) == 0 { // its row is gone, as only the log can tell
					checked = call.Checked{Where: []string{f.Where}}
				}
				return []call.Checked{checked}, err
			case call.FaultLog, call.FaultSeal, call.FaultSegment, call.FaultJournal, call.FaultPart:
				// The next pass sees: only the whole of it can tell.
				return []call.Checked{{Where: []string{f.Where}}}, nil
			default:
				return verifier.Again(ctx, f.Where)
			}
		},
	}
}

// faultConditions tells of what is not as it was kept.
func faultConditions(s *store.Store, logger *slog.Logger) func(context.Context, time.Time) []watch.Condition {
	return func(ctx context.Context, now time.Time) []watch.Condition {
		c := watch.Condition{Kind: call.AlertFaults, Well: true, Sentence: "Everything that was not as it was kept is so again, or is gone.", Since: now}
		counts, since, err := s.OpenFaults(ctx)
		if err != nil {
			logger.WarnContext(ctx, "faults could not be counted", "error", err)
			return []watch.Condition{{Kind: call.AlertFaults}}
		}
		var total int64
		for _, n := range counts {
			total += n
		}
		if since.IsZero() {
			since = now // somebody has altered that
		}
		if total > 0 {
			c = watch.Condition{Kind: call.AlertFaults, Bad: true, Since: since, Sentence: fmt.Sprintf(
				"%s not as kept: somebody or something has altered or lost what was there. Nothing was mended. "+
					"/api/v1/faults?state=open lists it; docs/operations.md says what to do.", counted(total, "thing")+verb(total, " is", " are"))}
		}
		return []watch.Condition{c}
	}
}

// allConditions are those of several parts of the program.
func allConditions(parts ...func(context.Context, time.Time) []watch.Condition) func(context.Context, time.Time) []watch.Condition {
	return func(ctx context.Context, now time.Time) (all []watch.Condition) {
		for _, part := range parts {
			all = append(all, part(ctx, now)...)
		}
		return all
	}
}

// faultCounts shows the open faults when the metrics are read.
type faultCounts struct {
	store  *store.Store
	logger *slog.Logger
	desc   *prometheus.Desc
}

func registerFaults(r prometheus.Registerer, s *store.Store, logger *slog.Logger) {
	r.MustRegister(&faultCounts{s, logger, prometheus.NewDesc("callvault_faults", "What is not as it was kept, by kind; the same on all nodes.", []string{"kind"}, nil)})
}

// Describe implements prometheus.Collector.
func (f *faultCounts) Describe(c chan<- *prometheus.Desc) { c <- f.desc }

// Collect implements prometheus.Collector.
func (f *faultCounts) Collect(c chan<- prometheus.Metric) {
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	counts, _, err := f.store.OpenFaults(ctx)
	if err != nil {
		f.logger.WarnContext(ctx, "faults could not be counted", "error", err)
		return
	}
	for _, kind := range call.FaultKinds() {
		c <- prometheus.MustNewConstMetric(f.desc, prometheus.GaugeValue, float64(counts[kind]), string(kind))
	}
}
