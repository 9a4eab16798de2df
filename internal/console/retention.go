package console

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"time"

	"callvault/internal/call"
)

// Retainer says how recordings are kept.
type Retainer interface {
	Standing(ctx context.Context) (call.RetentionStanding, error)
	// Plan says what would go until a time; each, if not nil, hears of every
	// single recording.
	Plan(ctx context.Context, by time.Time, each func(call.PlanItem) error) (call.RetentionPlan, error)
	Forecast(ctx context.Context) (call.Forecast, error)
}

// RetentionPlan is a plan as the API and the command tell of it.
type RetentionPlan struct {
	By         time.Time     `json:"by"`
	Recordings int64         `json:"recordings"`
	Bytes      int64         `json:"bytes"`
	Due        []PlannedDue  `json:"due"`
	Kept       []PlannedKept `json:"kept"`
	Reports    []PlannedRuns `json:"reports"`
	// Journal is out of which segments requests go.
	Journal  []PlannedSegments `json:"journal"`
	Unjudged int64             `json:"unjudged"`
}

// PlannedDue is a call.DueSum; Month is as 2026-11.
type PlannedDue struct {
	Month      string `json:"month"`
	Account    string `json:"account"`
	Rule       string `json:"rule"`
	Recordings int64  `json:"recordings"`
	Bytes      int64  `json:"bytes"`
}

// PlannedKept is a call.KeptSum.
type PlannedKept struct {
	Why        call.KeptWhy `json:"why"`
	By         string       `json:"by"`
	Account    string       `json:"account"`
	From       *time.Time   `json:"from"`
	Until      *time.Time   `json:"until"`
	Recordings int64        `json:"recordings"`
	Bytes      int64        `json:"bytes"`
}

// PlannedRuns is a call.RunSum; Month is as 2026-11, nil for what stays, and Why
// nil for what goes.
type PlannedRuns struct {
	Report string        `json:"report"`
	Month  *string       `json:"month"`
	Why    *call.KeptWhy `json:"why"`
	By     string        `json:"by"`
	Until  *time.Time    `json:"until"`
	Runs   int64         `json:"runs"`
	Bytes  int64         `json:"bytes"`
}

// PlannedSegments is a call.SegmentSum; Month and Why are as in PlannedRuns.
type PlannedSegments struct {
	Month    *string       `json:"month"`
	Why      *call.KeptWhy `json:"why"`
	By       string        `json:"by"`
	Until    *time.Time    `json:"until"`
	Segments int64         `json:"segments"`
	Bytes    int64         `json:"bytes"`
}

// PlanOf tells of a plan.
func PlanOf(plan call.RetentionPlan) RetentionPlan {
	p := RetentionPlan{By: *instant(plan.By), Unjudged: plan.Unjudged, Due: []PlannedDue{}, Kept: []PlannedKept{}, Reports: []PlannedRuns{}, Journal: []PlannedSegments{}}
	for _, d := range plan.Due {
		p.Recordings += d.Recordings
		p.Bytes += d.Bytes
		p.Due = append(p.Due, PlannedDue{d.Month.Format(monthOnly), d.Account, d.Rule, d.Recordings, d.Bytes})
	}
	for _, k := range plan.Kept {
		p.Kept = append(p.Kept, PlannedKept{k.Why, k.By, k.Account, instant(k.From), instant(k.Until), k.Recordings, k.Bytes})
	}
	for _, s := range plan.Reports {
		r := PlannedRuns{Report: s.Report, By: s.By, Until: instant(s.Until), Runs: s.Runs, Bytes: s.Bytes}
		if s.Why == "" {
			r.Month = new(s.Month.Format(monthOnly))
		} else {
			r.Why = &s.Why
		}
		p.Reports = append(p.Reports, r)
	}
	for _, s := range plan.Segments {
		j := PlannedSegments{By: s.By, Until: instant(s.Until), Segments: s.Segments, Bytes: s.Bytes}
		if s.Why == "" {
			j.Month = new(s.Month.Format(monthOnly))
		} else {
			j.Why = &s.Why
		}
		p.Journal = append(p.Journal, j)
	}
	return p
}

// monthOnly is how a month of the calendar is written.
const monthOnly = "2006-01"

// instant is t as JSON has it, nil for the zero time.
func instant(t time.Time) *time.Time {
	if t.IsZero() {
		return nil
	}
	return new(t.UTC().Truncate(time.Millisecond))
}

type retentionJSON struct {
	Rules        []string          `json:"rules"`
	Terms        string            `json:"terms"`
	Since        *time.Time        `json:"since"`
	WaitsUntil   *time.Time        `json:"waits_until"`
	NextRun      *time.Time        `json:"next_run"`
	RunningSince *time.Time        `json:"running_since"`
	LastRun      *retentionRunJSON `json:"last_run"`
	Now          RetentionPlan     `json:"now"`
	Until        *RetentionPlan    `json:"until"`
}

// retentionRunJSON is what one run of retention came to, as the job wrote it
// down.
type retentionRunJSON struct {
	EndedAt    *time.Time `json:"ended_at"`
	Deleted    int64      `json:"deleted"`
	Bytes      int64      `json:"bytes"`
	Blocked    int64      `json:"blocked"`
	Calls      int64      `json:"calls"`
	Deliveries int64      `json:"deliveries"`
	Reports    int64      `json:"reports"`
	// ReportBytes are of the reports' files.
	ReportBytes    int64 `json:"report_bytes"`
	ReportsBlocked int64 `json:"reports_blocked"`
	// Segments of the journal lost requests, of SegmentBytes.
	Segments        int64      `json:"segments"`
	SegmentBytes    int64      `json:"segment_bytes"`
	SegmentsBlocked int64      `json:"segments_blocked"`
	Judged          int64      `json:"judged"`
	Lengthened      int64      `json:"lengthened"`
	Promised        int64      `json:"promised"`
	WaitsUntil      *time.Time `json:"waits_until"`
	Error           *string    `json:"error"`
}

// retention tells by which rules recordings are kept, what may go now, and what
// will until a time. It speaks of nobody, so nobody's look at it is logged.
func (c *Console) retention(w http.ResponseWriter, r *http.Request, who call.Token) error {
	q := c.query(r)
	by, day := q.moment("by")
	if day {
		by = by.AddDate(0, 0, 1).Add(-time.Millisecond)
	}
	if err := errors.Join(q.err(), needKeeper(who)); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(r.Context(), questionLimit)
	defer cancel()
	standing, err := c.retainer.Standing(ctx)
	if err != nil {
		return err
	}
	answer := retentionJSON{
		Rules: list(standing.Rules), Terms: standing.Terms, Since: instant(standing.Since), WaitsUntil: instant(standing.WaitsUntil),
		NextRun: instant(standing.Job.NextAt), RunningSince: instant(standing.Job.RunningSince),
	}
	if len(standing.Job.Result) > 0 {
		answer.LastRun = &retentionRunJSON{}
		if err := json.Unmarshal(standing.Job.Result, answer.LastRun); err != nil {
			return err
		}
		answer.LastRun.EndedAt = instant(standing.Job.EndedAt)
	}
	plan, err := c.retainer.Plan(ctx, c.now(), nil)
	if err != nil {
		return err
	}
	answer.Now = PlanOf(plan)
	if !by.IsZero() {
		if plan, err = c.retainer.Plan(ctx, by, nil); err != nil {
			return err
		}
		answer.Until = new(PlanOf(plan))
	}
	return writeJSON(w, answer)
}
