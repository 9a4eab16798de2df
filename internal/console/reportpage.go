package console

import (
	"cmp"
	"context"
	"net/http"
	"net/url"
	"path"
	"strconv"
	"time"

	"callvault/internal/call"

	"github.com/dustin/go-humanize"
)

// reportsPage lists reports, the newest period first. It is made of the API's
// answer and of nothing else.
type reportsPage struct {
	// Groups are those that the reader is limited to, if no report is of these
	// alone.
	Groups []string
	// Alerts are the open ones that were opened last, for administrators;
	// MoreAlerts: there are others.
	Alerts     []alertView
	MoreAlerts bool
	// Only is the one report that is listed, empty for all.
	Only string
	Runs []runView
	// Older leads to those before, empty if there are none.
	Older string
}

// alertView is what needs a person now.
type alertView struct {
	Sentence string
	Since    *stamp
	Zone     string
}

type runView struct {
	Report, Period string
	// Of lists the runs of the same report.
	Of string
	// Revision is 0 of one that was never revised.
	Revision int
	// Says is why there are no files, or not yet.
	Says  string
	Built *stamp
	Zone  string
	// Files are for people, Others what was mailed and what all is made of.
	Files, Others []fileView
	Earlier       []revisionView
}

type fileView struct{ Name, Size, Address string }

type revisionView struct {
	Revision int
	Files    []fileView
}

func (c *Console) reportsPage(w http.ResponseWriter, r *http.Request, who call.Token) error {
	if len(who.Groups) > 0 && len(c.reportsOf(who)) == 0 {
		// A login leads here: that there is nothing is no refusal.
		return writePage(w, http.StatusOK, reportsTemplate, page{Title: "Reports", User: who.Name, Body: reportsPage{Groups: who.Groups}})
	}
	answer, err := c.viewRuns(r, who)
	if err != nil {
		return err
	}
	p := reportsPage{Only: r.URL.Query().Get("report")}
	if p.Alerts, p.MoreAlerts, err = c.viewAlerts(r, who); err != nil {
		return err
	}
	for i := range answer.Runs {
		p.Runs = append(p.Runs, answer.Runs[i].view())
	}
	if answer.NextCursor != nil {
		query := r.URL.Query()
		query.Set("cursor", *answer.NextCursor)
		p.Older = firstPath + "?" + query.Encode()
	}
	return writePage(w, http.StatusOK, reportsTemplate, page{Title: "Reports", User: who.Name, Body: p})
}

// pageAlerts bounds the alerts that a page tells of; the API has them all.
const pageAlerts = 20

// viewAlerts are the open alerts, if they are for this user to mend, and whether
// there are more.
func (c *Console) viewAlerts(r *http.Request, who call.Token) (_ []alertView, more bool, _ error) {
	if who.Role != call.Admin || len(who.Groups) > 0 {
		return nil, false, nil
	}
	ctx, cancel := context.WithTimeout(r.Context(), questionLimit)
	defer cancel()
	open, next, err := c.store.FindAlerts(ctx, call.AlertFilter{State: call.AlertOpen, Limit: pageAlerts})
	if err != nil {
		return nil, false, err
	}
	views := make([]alertView, len(open))
	for i, a := range open {
		views[i] = alertView{a.Opening, stampOf(moment(a.Since), c.zone, dayMinute), c.zone.String()}
	}
	return views, next != "", nil
}

func (a *runJSON) view() runView {
	zone, err := time.LoadLocation(text(a.TimeZone))
	if err != nil { // of another machine: all times are right in UTC, too
		zone = time.UTC
	}
	v := runView{
		Report: a.Report, Of: firstPath + "?" + url.Values{"report": {a.Report}}.Encode(),
		Period: periodName(timeOf(a.PeriodFrom).In(zone), timeOf(a.PeriodTo).In(zone)),
		Built:  stampOf(a.BuiltAt, zone, dayMinute), Zone: zone.String(),
	}
	if a.Revision > 1 {
		v.Revision = a.Revision
	}
	switch {
	case a.State == call.RunBuilding:
		v.Says = "It is being made just now."
	case a.State == call.RunFailed:
		v.Says = sentence("it could not be made, and is tried again: " + cmp.Or(text(a.Error), "the log says why"))
	case a.FilesDeletedAt != nil:
		v.Says = "Its files were deleted on " + timeOf(a.FilesDeletedAt).In(zone).Format("2 Jan 2006") + ": their term was over."
	case len(a.Files) == 0:
		v.Says = sentence(cmp.Or(text(a.Error), "its files are not there any more"))
	}
	if a.FilesDeletedAt != nil {
		return v
	}
	for _, revision := range a.Revisions {
		files := make([]fileView, 0, len(revision.Files))
		var others []fileView
		for _, f := range revision.Files {
			file := fileView{f.Name, humanize.Bytes(uint64(f.Size)), fileAddress(a.ID, f.Name, revision.Revision)}
			if ext := path.Ext(f.Name); ext == ".xlsx" || ext == ".csv" {
				files = append(files, file)
			} else {
				others = append(others, file)
			}
		}
		if revision.Revision == a.Revision {
			v.Files, v.Others = files, others
			continue
		}
		v.Earlier = append(v.Earlier, revisionView{revision.Revision, append(files, others...)})
	}
	return v
}

// fileAddress is where a file of a report is had, by those who are logged in.
func fileAddress(run, name string, revision int) string {
	return firstPath + "/" + url.PathEscape(run) + "/files/" + url.PathEscape(name) + "?revision=" + strconv.Itoa(revision)
}

// periodName names a period for people; both are in the report's zone.
func periodName(from, to time.Time) string {
	last := to.AddDate(0, 0, -1)
	switch {
	case from.AddDate(0, 0, 1).Equal(to):
		return from.Format(longDay)
	case from.Day() == 1 && from.AddDate(0, 1, 0).Equal(to):
		return from.Format("January 2006")
	}
	return from.Format("2 Jan 2006") + " – " + last.Format("2 Jan 2006")
}
