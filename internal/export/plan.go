package export

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"iter"
	"os"
	"path/filepath"
	"time"

	"callvault/internal/call"
)

// The files of a work folder.
const (
	planFile  = "plan.json"    // plan; there once planCalls is complete
	planCalls = "calls.plan"   // callLine, one a line, as they were then
	doneFile  = "done.jsonl"   // outcome, one for each recording dealt with
	zipFile   = "bundle.zip"   // as far as it is
	pieceFile = "piece"        // what comes next into it
	tempFile  = "calls.unsure" // planCalls while it is being made
)

// plan is what is exported, as it was when the export began: the rows are
// copied first, so that what happens meanwhile cannot tear the bundle.
type plan struct {
	ID         string    `json:"id"`
	Request    Request   `json:"request"`
	AsOf       time.Time `json:"as_of"`
	Calls      int       `json:"calls"`
	Recordings int       `json:"recordings"`
	// Unknown are calls that were named and are not there.
	Unknown []string `json:"unknown,omitempty"`
}

// missing is something that was asked for and is not in the bundle, or is not
// what it was.
type missing struct {
	// Kind is "recording", "call", "delivery", or "deliveries" for all of a
	// call's.
	Kind string `json:"kind"`
	ID   string `json:"id,omitempty"`
	Call string `json:"call,omitempty"`
	// Why is one word for programs, What a sentence for people.
	Why  string `json:"why"`
	What string `json:"what"`
}

// Why something is missing, beside the states of recordings.
const (
	whyUnknown   = "unknown"
	whyUnproved  = "unproved"
	whyExpired   = "expired"
	whyNoObject  = "not_in_vault"
	whyVault     = "vault_fault"
	whyAltered   = "altered"
	whyForbidden = "forbidden"
)

// outcome is what became of one recording: it is in the bundle, or missing, or
// in it apart because it was altered.
type outcome struct {
	File    *stored  `json:"file,omitempty"`
	Missing *missing `json:"missing,omitempty"`
}

// Pending says which export a work folder holds, if any: its request, and
// whether there is one. The folder need not exist.
func Pending(dir string) (Request, bool, error) {
	var p plan
	found, err := readJSON(filepath.Join(dir, planFile), &p)
	return p.Request, found, err
}

// Same reports whether two requests ask for the same, by whomever.
func (r Request) Same(other Request) bool {
	other.By = r.By
	a, errA := json.Marshal(r)
	b, errB := json.Marshal(other)
	return errA == nil && errB == nil && bytes.Equal(a, b)
}

func readJSON(path string, into any) (found bool, err error) {
	text, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	if err == nil {
		err = json.Unmarshal(text, into)
	}
	if err != nil {
		return false, fmt.Errorf("read %s: %w", path, err)
	}
	return true, nil
}

// makePlan reads the plan of the work folder, or makes it.
func (m *maker) makePlan(ctx context.Context) error {
	found, err := readJSON(m.path(planFile), &m.plan)
	if err != nil || found {
		return err
	}
	for _, name := range []string{doneFile, zipFile} { // of a plan that is gone
		if err := os.Remove(m.path(name)); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	m.plan = plan{ID: m.id, Request: m.Request, AsOf: m.Now().UTC().Truncate(time.Second)}
	err = create(m.path(tempFile), func(w io.Writer) error {
		e := json.NewEncoder(w)
		e.SetEscapeHTML(false)
		return m.eachDetail(ctx, func(d *call.CallDetail) error {
			m.plan.Calls++
			m.plan.Recordings += len(d.Recordings)
			return e.Encode(callOf(d, m.Zone(d.Account)))
		})
	})
	if err != nil {
		return err
	}
	if err := os.Rename(m.path(tempFile), m.path(planCalls)); err != nil {
		return err
	}
	return create(m.path(planFile), func(w io.Writer) error { return json.NewEncoder(w).Encode(m.plan) })
}

// eachDetail calls do for every call that is asked for and may be seen, in the
// order of their start, or in that in which they were named.
func (m *maker) eachDetail(ctx context.Context, do func(*call.CallDetail) error) error {
	// Two may turn out to be one call.
	seen := map[string]bool{}
	one := func(id string) (found bool, err error) {
		d, err := m.Store.Call(ctx, id)
		switch {
		case call.CodeOf(err) == call.NotFound:
			return false, nil
		case err != nil:
			return false, err
		case !m.Request.maySee(d.Group):
			return false, nil
		case seen[d.ID]:
			return true, nil
		}
		seen[d.ID] = true
		return true, do(&d)
	}
	if m.Request.Filter != nil {
		return m.Store.EachCall(ctx, m.Request.filter(), func(c call.CallWithRecordings) error {
			_, err := one(c.ID)
			return err
		})
	}
	for _, id := range m.Request.Calls {
		found, err := one(id)
		if err != nil {
			return err
		}
		if !found {
			m.plan.Unknown = append(m.plan.Unknown, id)
		}
	}
	return nil
}

// eachOutcome calls do for what became of the recordings, in the order of the
// plan, as far as it is known and can be read.
func (m *maker) eachOutcome(do func(*outcome) error) error {
	for o, err := range lines[outcome](m.path(doneFile)) {
		if errors.Is(err, errLine) {
			return nil
		}
		if err == nil {
			err = do(&o)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// eachCall calls do for every call of the plan, its recordings with the files
// in which they lie, and with what is missing of it. All recordings must have
// been dealt with.
func (m *maker) eachCall(do func(c *callLine, lacks []missing) error) error {
	next, stop := iter.Pull2(lines[outcome](m.path(doneFile)))
	defer stop()
	for c, err := range lines[callLine](m.path(planCalls)) {
		if err != nil {
			return err
		}
		var lacks []missing
		for i := range c.Recordings {
			o, err, ok := next()
			if err != nil || !ok {
				return errors.Join(err, fmt.Errorf("a recording of call %s was not dealt with", c.ID))
			}
			c.Recordings[i].File = ""
			if o.Missing != nil {
				lacks = append(lacks, *o.Missing)
			} else {
				c.Recordings[i].File = o.File.Path
			}
		}
		if err := do(&c, lacks); err != nil {
			return err
		}
	}
	return nil
}

// errLine says that a line is not what this package writes.
var errLine = errors.New("a line cannot be read")

// lines reads a file of JSON lines of this package's own. A last line that is
// torn, or a file that is not there, ends it.
func lines[T any](path string) iter.Seq2[T, error] {
	return func(yield func(T, error) bool) {
		var none T
		f, err := os.Open(path)
		if errors.Is(err, fs.ErrNotExist) {
			return
		}
		if err != nil {
			yield(none, err)
			return
		}
		defer func() { _ = f.Close() }() // it was only read
		r := bufio.NewReaderSize(f, 64<<10)
		for {
			line, err := r.ReadBytes('\n')
			if errors.Is(err, io.EOF) {
				return
			}
			var v T
			if err == nil && json.Unmarshal(line, &v) != nil {
				err = fmt.Errorf("%w in %s", errLine, path)
			}
			if !yield(v, err) || err != nil {
				return
			}
		}
	}
}

// create writes a file, whole or not at all after a kill of the process: the
// name is given last.
func create(path string, write func(io.Writer) error) (err error) {
	temp := path + ".new"
	f, err := os.OpenFile(temp, os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	out := bufio.NewWriterSize(f, 64<<10)
	if err := errors.Join(write(out), out.Flush(), f.Sync(), f.Close()); err != nil {
		return err
	}
	return os.Rename(temp, path)
}
