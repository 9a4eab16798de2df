package console

import (
	"context"
	"net/http"
	"path"
	"slices"
	"strings"
	"unicode"

	"callvault/internal/audit"
	"callvault/internal/call"

	"github.com/gorilla/mux"
)

// RunStore is what the API asks of reports.
type RunStore interface {
	FindRuns(ctx context.Context, f call.RunFilter) ([]call.Run, string, error)
	Run(ctx context.Context, id string) (call.Run, error)
}

type runJSON struct {
	ID         string        `json:"id"`
	Report     string        `json:"report"`
	PeriodFrom *string       `json:"period_from"`
	PeriodTo   *string       `json:"period_to"`
	TimeZone   *string       `json:"time_zone"`
	State      call.RunState `json:"state"`
	Revision   int           `json:"revision"`
	AsOf       *string       `json:"as_of"`
	InputHash  *string       `json:"input_hash"`
	Error      *string       `json:"error"`
	CreatedAt  *string       `json:"created_at"`
	BuiltAt    *string       `json:"built_at"`
	// FilesDeletedAt is since when the files are gone; null: they are there.
	RetainUntil    *string `json:"retain_until"`
	FilesDeletedAt *string `json:"files_deleted_at"`
	// Files are those of the newest revision, Revisions all of them, newest
	// first.
	Files     []runFileJSON  `json:"files"`
	Revisions []revisionJSON `json:"revisions"`
}

type revisionJSON struct {
	Revision int           `json:"revision"`
	Files    []runFileJSON `json:"files"`
}

type runFileJSON struct {
	Name      string  `json:"name"`
	Size      int64   `json:"size"`
	SHA256    string  `json:"sha256"`
	MediaType string  `json:"media_type"`
	ObjectKey *string `json:"object_key"`
}

func runOf(run call.Run, who call.Token) runJSON {
	answer := runJSON{
		ID:         run.ID,
		Report:     run.Report,
		PeriodFrom: moment(run.PeriodFrom),
		PeriodTo:   moment(run.PeriodTo),
		TimeZone:   optional(run.Zone),
		State:      run.State,
		Revision:   run.Revision,
		AsOf:       moment(run.AsOf),
		InputHash:  optional(run.InputHash),
		Error:      optional(oneLine(run.Error)),
		CreatedAt:  moment(run.CreatedAt),
		BuiltAt:    moment(run.BuiltAt),
		Files:      filesOf(run, who),
		Revisions:  []revisionJSON{},

		RetainUntil:    moment(run.RetainUntil),
		FilesDeletedAt: moment(run.FilesExpiringAt),
	}
	for revision := run.Revision; revision > 0; revision-- {
		if files := filesOf(run.At(revision), who); len(files) > 0 {
			answer.Revisions = append(answer.Revisions, revisionJSON{revision, files})
		}
	}
	return answer
}

// mayHave reports whether one who may see a run may have its file of this name.
func mayHave(who call.Token, name string) bool {
	return len(who.Groups) == 0 || name != call.RunInput
}

// filesOf are the files of the revision that a run has, as far as one may have
// them.
func filesOf(run call.Run, who call.Token) []runFileJSON {
	files := []runFileJSON{}
	for _, f := range run.At(run.Revision).Files {
		if !mayHave(who, f.Name) {
			continue
		}
		file := runFileJSON{Name: f.Name, Size: f.Size, SHA256: f.SHA256, MediaType: f.MediaType}
		if who.Role.MayHear() {
			file.ObjectKey = optional(f.ObjectKey)
		}
		files = append(files, file)
	}
	return files
}

// mostShown characters of what went wrong are enough for a person to read.
const mostShown = 300

// oneLine bounds a text that other programs had a part in.
func oneLine(text string) string {
	line := []rune(strings.Join(strings.FieldsFunc(text, func(r rune) bool {
		return unicode.IsControl(r) || unicode.IsSpace(r)
	}), " "))
	if len(line) > mostShown {
		line = append(line[:mostShown-1], '…')
	}
	return string(line)
}

// maxRevision bounds what may be asked for: one for each time of the schedule in
// some weeks.
const maxRevision = 100_000

const aboutReports = "a report"

// needReport refuses one who is limited to groups a report that tells, or ever
// told, of calls of others.
func (c *Console) needReport(who call.Token, report string) error {
	if groups := c.reportGroups[report]; len(groups) > 0 && !slices.ContainsFunc(groups, func(g string) bool { return !maySee(who, g) }) {
		return nil
	}
	return needAllGroups(who, aboutReports)
}

// reportsOf are the reports that one may see who is limited to groups; none for
// those who may see all.
func (c *Console) reportsOf(who call.Token) []string {
	var names []string
	for report := range c.reportGroups {
		if len(who.Groups) > 0 && c.needReport(who, report) == nil {
			names = append(names, report)
		}
	}
	return names
}

// runsJSON is a page of runs.
type runsJSON struct {
	Runs       []runJSON `json:"runs"`
	NextCursor *string   `json:"next_cursor"`
}

func (c *Console) findRuns(w http.ResponseWriter, r *http.Request, who call.Token) error {
	answer, err := c.viewRuns(r, who)
	if err != nil {
		return err
	}
	return writeJSON(w, answer)
}

// viewRuns are the runs that are asked for, as far as one may see them who then
// has.
func (c *Console) viewRuns(r *http.Request, who call.Token) (runsJSON, error) {
	f := call.RunFilter{Reports: c.reportsOf(who)}
	if len(f.Reports) == 0 {
		if err := needAllGroups(who, aboutReports); err != nil {
			return runsJSON{}, err
		}
	}
	q := c.query(r)
	f.Report = q.text("report")
	f.State = oneOf(q, "state", call.RunBuilding, call.RunBuilt, call.RunFailed)
	f.Limit, f.Cursor = q.page()
	if err := q.err(); err != nil {
		return runsJSON{}, err
	}
	ctx, cancel := context.WithTimeout(r.Context(), questionLimit)
	defer cancel()
	found, next, err := c.store.FindRuns(ctx, f)
	if err != nil {
		return runsJSON{}, err
	}
	runs := make([]runJSON, len(found))
	for i, run := range found {
		runs[i] = runOf(run, who)
	}
	return runsJSON{runs, optional(next)}, nil
}

func (c *Console) runFile(w http.ResponseWriter, r *http.Request, who call.Token) error {
	q := c.query(r)
	revision := q.number("revision", 1, maxRevision)
	if err := q.err(); err != nil {
		return err
	}
	vars := mux.Vars(r)
	run, err := c.run(r.Context(), vars["run"])
	if err == nil {
		err = c.needReport(who, run.Report)
	}
	if err != nil {
		return err
	}
	if gone := run.FilesGone(); gone != "" {
		return call.Errorf(call.NotFound, "%s", oneLine(gone))
	}
	if revision == nil {
		revision = &run.Revision
	}
	files := run.At(*revision).Files
	if len(files) == 0 {
		return call.Errorf(call.NotFound, "this run has no revision %d", *revision)
	}
	i := slices.IndexFunc(files, func(f call.RunFile) bool { return f.Name == vars["name"] })
	if i < 0 {
		return call.Errorf(call.NotFound, "this run has no such file")
	}
	f := files[i]
	if !mayHave(who, f.Name) {
		return call.Errorf(call.Forbidden, "what may be seen here is limited to groups, and this file has agents of all groups")
	}
	if err := c.look(r, audit.ReportDownloaded, "run/"+run.ID, map[string]any{"report": run.Report, "file": f.Name, "revision": *revision, "sha256": f.SHA256}); err != nil {
		return err
	}
	return c.serveObject(w, r, object{
		key:       f.ObjectKey,
		size:      f.Size,
		sha256:    f.SHA256,
		mediaType: f.MediaType,
		modified:  run.BuiltAt,
		saveAs:    path.Base(f.Name),
	})
}

func (c *Console) run(ctx context.Context, id string) (call.Run, error) {
	none := call.Errorf(call.NotFound, "there is no such run")
	if !printable(id) {
		return call.Run{}, none
	}
	ctx, cancel := context.WithTimeout(ctx, questionLimit)
	defer cancel()
	run, err := c.store.Run(ctx, id)
	if call.CodeOf(err) == call.NotFound {
		return call.Run{}, none
	}
	return run, err
}
