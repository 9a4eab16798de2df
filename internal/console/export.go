package console

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"slices"

	"callvault/internal/audit"
	"callvault/internal/call"
	"callvault/internal/export"

	"github.com/gorilla/mux"
)

type exportJSON struct {
	ID          string           `json:"id"`
	State       call.ExportState `json:"state"`
	Reason      string           `json:"reason"`
	RequestedBy string           `json:"requested_by"`
	Filter      *call.Filter     `json:"filter"`
	CallIDs     []string         `json:"call_ids"`
	CreatedAt   *string          `json:"created_at"`
	FinishedAt  *string          `json:"finished_at"`
	RemoveAt    *string          `json:"remove_at"`
	Attempts    int              `json:"attempts"`
	// Done of Total recordings are dealt with.
	Done           int     `json:"done"`
	Total          int     `json:"total"`
	Calls          int     `json:"calls"`
	Recordings     int     `json:"recordings"`
	Missing        int     `json:"missing"`
	Altered        int     `json:"altered"`
	Size           *int64  `json:"size"`
	ManifestSHA256 *string `json:"manifest_sha256"`
	Error          *string `json:"error"`
}

func exportOf(e call.Export) exportJSON {
	answer := exportJSON{
		ID: e.ID, State: e.State, Reason: e.Reason, RequestedBy: e.By, CallIDs: []string{},
		CreatedAt: moment(e.CreatedAt), FinishedAt: moment(e.FinishedAt), RemoveAt: moment(e.RemoveAt), Attempts: e.Attempts,
		Done: e.Done, Total: e.Total, Calls: e.Calls, Recordings: e.Recordings, Missing: e.Missing, Altered: e.Altered,
		Size: optional(e.Size), ManifestSHA256: optional(e.ManifestSHA256), Error: optional(oneLine(e.Error)),
	}
	var asked export.Request
	if json.Unmarshal(e.Request, &asked) == nil { // we wrote it
		answer.Filter, answer.CallIDs = asked.Filter, list(asked.Calls)
	}
	return answer
}

// ExportStore is what the API asks of exports, and the log in which it is
// written down that one was handed out.
type ExportStore interface {
	AddExport(ctx context.Context, e call.Export) (call.Export, error)
	FindExports(ctx context.Context, f call.ExportFilter) ([]call.Export, string, error)
	Export(ctx context.Context, id string) (call.Export, error)
	RemoveExport(ctx context.Context, id string) (call.Export, error)
	Audit(ctx context.Context, entries ...audit.Entry) error
}

// needExporter refuses whom bundles are none of the business of.
func needExporter(who call.Token) error {
	if who.Role.MayHear() {
		return nil
	}
	return call.Errorf(call.Forbidden, "exports need a token with the role %s or %s", call.Compliance, call.Admin)
}

// addExport takes in a job. What it holds is limited to what the token may see.
func (c *Console) addExport(w http.ResponseWriter, r *http.Request, who call.Token) error {
	if err := errors.Join(c.query(r).err(), needExporter(who)); err != nil {
		return err
	}
	var asked struct {
		Filter  *call.Filter `json:"filter"`
		CallIDs []string     `json:"call_ids"`
		Reason  string       `json:"reason"`
	}
	if err := readJSON(r, &asked); err != nil {
		return err
	}
	if err := call.CheckReason(asked.Reason); err != nil {
		return err
	}
	if asked.Filter != nil {
		if err := checkFilter(*asked.Filter); err != nil {
			return err
		}
	}
	if slices.ContainsFunc(asked.CallIDs, func(id string) bool { return id == "" || len(id) > maxParameter || !printable(id) }) {
		return call.Errorf(call.Invalid, "call_ids has something that is no id")
	}
	ctx, cancel := context.WithTimeout(r.Context(), questionLimit)
	defer cancel()
	request := export.Request{Filter: asked.Filter, Calls: asked.CallIDs, Groups: who.Groups, Reason: asked.Reason, By: audit.ActorOf(ctx)}
	if err := request.Check(); err != nil {
		return err
	}
	text, err := json.Marshal(request)
	if err != nil {
		return err
	}
	e, err := c.store.AddExport(ctx, call.Export{Request: text, Groups: who.Groups, By: who.Name, Reason: asked.Reason})
	if err != nil {
		return err
	}
	c.exportChanged()
	return writeStatus(w, http.StatusAccepted, exportOf(e))
}

func (c *Console) findExports(w http.ResponseWriter, r *http.Request, who call.Token) error {
	if err := needExporter(who); err != nil {
		return err
	}
	q := c.query(r)
	f := call.ExportFilter{Groups: who.Groups}
	f.State = oneOf(q, "state", call.ExportStates()...)
	f.Limit, f.Cursor = q.page()
	if err := q.err(); err != nil {
		return err
	}
	if err := c.listen(r, audit.ExportsViewed, "", nil); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(r.Context(), questionLimit)
	defer cancel()
	found, next, err := c.store.FindExports(ctx, f)
	if err != nil {
		return err
	}
	exports := make([]exportJSON, len(found))
	for i, e := range found {
		exports[i] = exportOf(e)
	}
	return writeJSON(w, struct {
		Exports    []exportJSON `json:"exports"`
		NextCursor *string      `json:"next_cursor"`
	}{exports, optional(next)})
}

func (c *Console) export(w http.ResponseWriter, r *http.Request, who call.Token) error {
	e, err := c.visibleExport(r, who)
	if err == nil {
		// Who waits for a bundle asks again and again.
		err = c.listen(r, audit.ExportsViewed, "export/"+e.ID, nil)
	}
	if err != nil {
		return err
	}
	return writeJSON(w, exportOf(e))
}

// visibleExport finds an export that the token may see: a token that is limited
// to groups sees those of the same groups.
func (c *Console) visibleExport(r *http.Request, who call.Token) (call.Export, error) {
	none := call.Errorf(call.NotFound, "there is no such export")
	if err := errors.Join(c.query(r).err(), needExporter(who)); err != nil {
		return call.Export{}, err
	}
	id := mux.Vars(r)["id"]
	if !printable(id) {
		return call.Export{}, none
	}
	ctx, cancel := context.WithTimeout(r.Context(), questionLimit)
	defer cancel()
	e, err := c.store.Export(ctx, id)
	if call.CodeOf(err) == call.NotFound {
		return call.Export{}, none
	}
	if err == nil && len(who.Groups) > 0 && !slices.Equal(sorted(e.Groups), sorted(who.Groups)) {
		return call.Export{}, hidden{none}
	}
	return e, err
}

func sorted(texts []string) []string { return slices.Sorted(slices.Values(texts)) }

func (c *Console) removeExport(w http.ResponseWriter, r *http.Request, who call.Token) error {
	e, err := c.visibleExport(r, who)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(r.Context(), questionLimit)
	defer cancel()
	if e, err = c.store.RemoveExport(ctx, e.ID); err != nil {
		return err
	}
	c.exportChanged()
	return writeJSON(w, exportOf(e))
}

// exportFile hands a bundle out. That it is handed out is logged first, whatever
// part of it is asked for; what one download takes in parts is one entry.
func (c *Console) exportFile(w http.ResponseWriter, r *http.Request, who call.Token) error {
	e, err := c.visibleExport(r, who)
	if err != nil {
		return err
	}
	switch e.State {
	case call.ExportReady:
	case call.ExportWaiting, call.ExportBuilding:
		return call.Errorf(call.Conflict, "the bundle is still being made")
	case call.ExportFailed, call.ExportRemoved:
		return call.Errorf(call.NotFound, "the export is %s: there is no bundle", e.State)
	}
	if r.Method == http.MethodGet {
		facts := map[string]any{"id": e.ID, "export_reason": e.Reason, "calls": e.Calls, "recordings": e.Recordings, "size": e.Size, "manifest_sha256": e.ManifestSHA256}
		if err := c.listen(r, audit.ExportDownloaded, "export/"+e.ID, facts); err != nil {
			return err
		}
	}
	return c.serveObject(w, r, object{
		size: e.Size, mediaType: "application/zip", modified: e.FinishedAt, sha256: e.ManifestSHA256, saveAs: "callvault-" + e.ID + ".zip",
		open: func(ctx context.Context, offset int64) (io.ReadCloser, error) {
			p := &pieces{
				n: offset / e.PieceSize, last: (e.Size - 1) / e.PieceSize,
				open: func(n, offset int64) (io.ReadCloser, error) {
					return c.openObject(ctx, export.PieceKey(e.Prefix, n), offset)
				},
			}
			var err error
			p.body, err = p.open(p.n, offset%e.PieceSize)
			return p, err
		},
	})
}

// pieces reads objects one behind the other; body is the rest of the nth.
type pieces struct {
	n, last int64
	open    func(n, offset int64) (io.ReadCloser, error)
	body    io.ReadCloser
}

// Read implements io.Reader.
func (p *pieces) Read(into []byte) (int, error) {
	for {
		if p.body == nil {
			if p.n > p.last {
				return 0, io.EOF
			}
			body, err := p.open(p.n, 0)
			if err != nil {
				return 0, err
			}
			p.body = body
		}
		n, err := p.body.Read(into)
		if !errors.Is(err, io.EOF) {
			return n, err
		}
		if err := p.Close(); err != nil {
			return n, err
		}
		p.n++
		if n > 0 {
			return n, nil
		}
	}
}

// Close implements io.Closer.
func (p *pieces) Close() error {
	if p.body == nil {
		return nil
	}
	err := p.body.Close()
	p.body = nil
	return err
}
