package reports

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"callvault/internal/call"
)

// troubleAfter is how many runs in a row must have come to no good end before
// a person is told: one that fails is tried again by itself, for a day.
const troubleAfter = 3

// Trouble is a report whose last runs came to no good end: they could not be
// made, or did not reach everybody.
type Trouble struct {
	Report string
	// Period is that of the last of them, as the command line takes it.
	Period string
	// Since is when the first of the last three was begun.
	Since time.Time
	// Why says for people what became of the last.
	Why string
}

// String says for people what happened and what to do.
func (t Trouble) String() string {
	return fmt.Sprintf("Report %s came to no good end %d times in a row. The last, of %s: %s. "+
		"When that is mended, callvault report %s --date %s --send sends it.", t.Report, troubleAfter, t.Period, t.Why, t.Report, t.Period)
}

// Troubles finds the configured reports whose last three runs came to no good
// end. What is still under way counts neither way.
func (r *Reporter) Troubles(ctx context.Context) ([]Trouble, error) {
	var found []Trouble
	for i := range r.reports {
		t, inTrouble, err := r.trouble(ctx, r.reports[i].Name)
		if err != nil {
			return nil, fmt.Errorf("look at the runs of report %s: %w", r.reports[i].Name, err)
		}
		if inTrouble {
			found = append(found, t)
		}
	}
	return found, nil
}

func (r *Reporter) trouble(ctx context.Context, report string) (t Trouble, inTrouble bool, err error) {
	runs, _, err := r.store.FindRuns(ctx, call.RunFilter{Report: report, Limit: 2 * lookBack})
	if err != nil {
		return t, false, err
	}
	n := 0
	for _, run := range runs {
		why, settled, err := r.endOf(ctx, &run)
		switch {
		case err != nil:
			return t, false, err
		case !settled:
			continue
		case why == "":
			return t, false, nil
		}
		if n++; n == 1 {
			t = Trouble{Report: report, Period: run.PeriodFrom.In(location(run.Zone)).Format(time.DateOnly), Why: why}
		}
		if n == troubleAfter {
			t.Since = run.CreatedAt
			return t, true, nil
		}
	}
	return t, false, nil
}

// endOf says why a run came to no good end, empty if it came to one. settled is
// false while it is under way.
func (r *Reporter) endOf(ctx context.Context, run *call.Run) (why string, settled bool, err error) {
	switch run.State {
	case call.RunBuilding:
		return "", false, nil
	case call.RunFailed:
		return strings.TrimSuffix(run.Error, "."), true, nil
	case call.RunBuilt:
	}
	mails, err := r.mailsOf(ctx, *run)
	if err != nil {
		return "", false, err
	}
	settled = true
	for _, recipient := range slices.Sorted(maps.Keys(mails)) {
		m := mails[recipient]
		switch m.State {
		case call.MailRefused, call.MailFailed, call.MailUncertain:
			return fmt.Sprintf("the mail to %s is %s: %s", m.Recipient, m.State, oneLine(m.Detail)), true, nil
		case call.MailSending, call.MailRetry:
			settled = false
		case call.MailSent:
		}
	}
	return "", settled, nil
}
