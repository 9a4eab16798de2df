package reports

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"callvault/internal/call"
)

// maxShown is how many of the differences a Checked names.
const maxShown = 20

// Checked says whether a file is what a frozen input gives.
type Checked struct {
	Period Period
	// Revision is that of the input. Where no input gives the file, it is the
	// one of which the file differs least.
	Revision  int
	InputHash string
	// AsOf is when the input was frozen, Version the program's that did it.
	AsOf    time.Time
	Version string
	// SameBytes: the file is byte for byte what this program makes of the
	// input. Kept: it is byte for byte what the run was recorded with when it
	// was built.
	SameBytes, Kept bool
	// Differences counts the cells that differ; First are the first of them,
	// at most 20.
	Differences int64
	First       []Difference
}

// Difference is a place where a file is not what a frozen input gives.
type Difference struct {
	// Where is a cell as Agents!B3, a sheet, or a line of CSV and its column.
	Where string
	// File and Report are what stands there, in the file and in what the input
	// gives, for people: figures as a spreadsheet shows them, and of texts the
	// first 100 characters in quotation marks.
	File, Report string
}

// add counts a difference.
func (c *Checked) add(where, file, report string) {
	c.Differences++
	if c.Differences <= maxShown {
		c.First = append(c.First, Difference{where, file, report})
	}
}

// quote shows a text that may come from a stranger: its first 100 characters,
// without any that a terminal would obey.
func quote(s string) string {
	const most = 100
	if short := []rune(s); len(short) > most {
		s = string(short[:most-1]) + "…"
	}
	return strconv.Quote(s)
}

// Check says whether the file at path, a workbook or a CSV file that somebody
// has at hand, is what the frozen input of the report's period that holds a date
// gives: the report as it stands, an earlier revision of it, or a part of it that
// is configured. The report need not be configured any more. Its errors are call.NotFound where the period has
// no report, or no files any more, and call.Invalid for a
// file that is none of a report.
func (r *Reporter) Check(ctx context.Context, name string, date time.Time, path string) (best Checked, err error) {
	kind, err := kindOf(path)
	if err != nil {
		return best, err
	}
	var runs []call.Run
	for _, part := range r.partsOf(name) {
		found, err := r.runsOf(ctx, part, date)
		if err != nil && (part == name || call.CodeOf(err) != call.NotFound) {
			return best, err
		}
		runs = append(runs, found...)
	}
	compared := false
	for i := range runs {
		inputs, err := r.inputsOf(ctx, &runs[i])
		if err != nil {
			return best, err
		}
		for _, in := range inputs {
			var c Checked
			err := r.inSpool(func(dir string) (err error) {
				c, err = r.checkAgainst(ctx, in, kind, path, dir)
				return err
			})
			if err != nil {
				return best, fmt.Errorf("check against revision %d: %w", in.revision, err)
			}
			if c.SameBytes {
				return c, nil
			}
			if !compared || c.Differences < best.Differences {
				best, compared = c, true
			}
		}
	}
	return best, nil
}

// runsOf finds the built runs of a report whose period holds a date: several if
// the report was daily and became weekly. Their periods are in their zones.
func (r *Reporter) runsOf(ctx context.Context, name string, date time.Time) (found []call.Run, err error) {
	year, month, day := date.Date()
	filter := call.RunFilter{Report: name, State: call.RunBuilt, Limit: call.MaxLimit}
	for {
		runs, next, err := r.store.FindRuns(ctx, filter)
		if err != nil {
			return nil, err
		}
		for _, run := range runs {
			zone, err := time.LoadLocation(run.Zone)
			if err != nil {
				return nil, fmt.Errorf("run %s: %w", run.ID, err)
			}
			at := firstInstant(year, month, day, 0, 0, 0, zone)
			if !at.Before(run.PeriodFrom) && at.Before(run.PeriodTo) {
				run.PeriodFrom, run.PeriodTo = run.PeriodFrom.In(zone), run.PeriodTo.In(zone)
				found = append(found, run)
			}
		}
		if next == "" {
			break
		}
		filter.Cursor = next
	}
	if len(found) == 0 {
		return nil, call.Errorf(call.NotFound, "no report %s of %s is kept", name, date.Format(time.DateOnly))
	}
	for i := range found {
		if gone := found[i].FilesGone(); gone != "" {
			return nil, call.Errorf(call.NotFound, "%s", gone)
		}
	}
	return found, nil
}

// keptInput is the frozen input of a revision, in the vault.
type keptInput struct {
	revision int
	// hash is the SHA-256 of its lines, or how it begins.
	hash string
	key  string
	// kept are the hashes of the files that the run was recorded with.
	kept []string
}

// revisionKey is the end of the key of a frozen input; see Reporter.keep.
var revisionKey = regexp.MustCompile(`^r(\d+)-([0-9a-f]{12})/` + regexp.QuoteMeta(inputName) + `$`)

// inputOf is the input of a run's newest revision.
func inputOf(run *call.Run) (keptInput, error) {
	own := keptInput{revision: run.Revision, hash: run.InputHash}
	for _, f := range run.Files {
		if f.OfRevision() != run.Revision {
			continue
		}
		if f.Name == inputName {
			own.key = f.ObjectKey
		}
		own.kept = append(own.kept, f.SHA256)
	}
	if own.key == "" {
		return own, call.Errorf(call.NotFound, "the input of run %s is not kept", run.ID)
	}
	return own, nil
}

// inputsOf finds the inputs of a run, its own first and then those of its
// earlier revisions. What else the vault holds, a node has built that was not
// to build the run: it is nobody's report.
func (r *Reporter) inputsOf(ctx context.Context, run *call.Run) (inputs []keptInput, err error) {
	own, err := inputOf(run)
	if err != nil {
		return nil, err
	}
	earlier := make(map[int][]string) // hashes of files by revision
	for _, f := range run.Files {
		if f.OfRevision() != run.Revision {
			earlier[f.OfRevision()] = append(earlier[f.OfRevision()], f.SHA256)
		}
	}
	prefix := path.Dir(path.Dir(own.key)) + "/"
	for key, err := range r.vault.ListFiles(ctx, prefix) {
		if err != nil {
			return nil, fmt.Errorf("list revisions: %w", err)
		}
		match := revisionKey.FindStringSubmatch(strings.TrimPrefix(key, prefix))
		if match == nil {
			continue
		}
		if revision, err := strconv.Atoi(match[1]); err == nil && revision < run.Revision {
			inputs = append(inputs, keptInput{revision: revision, hash: match[2], key: key, kept: earlier[revision]})
		}
	}
	slices.SortStableFunc(inputs, func(a, b keptInput) int { return cmp.Compare(b.revision, a.revision) })
	return append([]keptInput{own}, inputs...), nil
}

// checkAgainst builds what an input gives in dir and compares the file with it.
func (r *Reporter) checkAgainst(ctx context.Context, kept keptInput, kind fileKind, file, dir string) (c Checked, err error) {
	in, err := r.openKept(ctx, kept, dir)
	if err == nil {
		err = r.hide(in)
	}
	if err != nil {
		return c, err
	}
	c = Checked{
		Period: in.period(), Revision: in.Settings.Revision, InputHash: in.Hash,
		AsOf: in.Settings.AsOf, Version: in.Settings.Version,
	}
	in.Settings.Formats = []Format{kind.format}
	files, _, err := BuildFiles(ctx, in, dir)
	if err != nil {
		return c, err
	}
	n := slices.IndexFunc(files, func(f File) bool { return strings.HasSuffix(f.Name, kind.suffix) })
	if n < 0 {
		return c, fmt.Errorf("no file ends in %s", kind.suffix)
	}
	given := File{Path: file}
	if err := given.sum(); err != nil {
		return c, err
	}
	c.Kept = slices.Contains(kept.kept, fmt.Sprintf("%x", given.SHA256))
	if c.SameBytes = given.SHA256 == files[n].SHA256; c.SameBytes {
		return c, nil
	}
	if kind.format == XLSX {
		return c, c.compareBooks(ctx, file, files[n].Path)
	}
	return c, c.compareCSV(ctx, file, files[n].Path)
}

// openKept gets an input from the vault and makes sure that it is the one.
func (r *Reporter) openKept(ctx context.Context, kept keptInput, dir string) (in *Input, err error) {
	body, err := r.vault.OpenFile(ctx, kept.key)
	if err != nil {
		return nil, fmt.Errorf("fetch %s: %w", inputName, err)
	}
	defer func() { err = errors.Join(err, body.Close()) }()
	out, err := os.OpenFile(filepath.Join(dir, inputName), os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return nil, err
	}
	_, err = out.ReadFrom(body)
	if err := errors.Join(err, out.Close()); err != nil {
		return nil, fmt.Errorf("fetch %s: %w", inputName, err)
	}
	in, err = OpenInput(ctx, out.Name())
	if err != nil {
		return nil, err
	}
	if !strings.HasPrefix(in.Hash, kept.hash) {
		return nil, fmt.Errorf("the input in the vault was changed: its SHA-256 is %s, not %s", in.Hash, kept.hash)
	}
	return in, nil
}
