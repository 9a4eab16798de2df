package export_test

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"callvault/internal/audit"
	"callvault/internal/call"
	"callvault/internal/export"
)

// desk is a queue with one job, and the shelf that its bundle comes to.
type desk struct {
	mu      sync.Mutex
	export  call.Export
	claimed bool
	keep    time.Duration
	shelf   map[string][]byte
	by      audit.Actor
	// settled is closed when the job has left this node.
	settled chan struct{}
	cleared bool
}

func newDesk(t *testing.T, h *house) *desk {
	t.Helper()
	request, err := json.Marshal(h.options("").Request)
	if err != nil {
		t.Fatal(err)
	}
	return &desk{export: call.Export{ID: id(77), State: call.ExportWaiting, Request: request}, shelf: map[string][]byte{}, settled: make(chan struct{})}
}

func (d *desk) ClaimExport(context.Context, time.Duration) (call.Export, string, bool, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.claimed || d.export.State == call.ExportRemoved {
		return call.Export{}, "", false, nil
	}
	d.claimed = true
	d.export.Attempts++
	d.export.State = call.ExportBuilding
	return d.export, "lease", true, nil
}

func (d *desk) RenewExport(context.Context, string, string, time.Duration, int, int) error {
	return nil
}

func (d *desk) settle(ctx context.Context, leaseToken string, change func()) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if leaseToken != "lease" || d.export.State != call.ExportBuilding {
		return call.Errorf(call.Conflict, "the lease was lost")
	}
	d.by = audit.ActorOf(ctx)
	change()
	close(d.settled)
	return nil
}

func (d *desk) ReleaseExport(ctx context.Context, _, leaseToken string, _ time.Duration, failed string) error {
	return d.settle(ctx, leaseToken, func() { d.export.State, d.export.Error = call.ExportWaiting, failed })
}

func (d *desk) FinishExport(ctx context.Context, _, leaseToken string, made call.ExportMade, keep time.Duration) error {
	return d.settle(ctx, leaseToken, func() { d.export.State, d.export.ExportMade, d.keep = call.ExportReady, made, keep })
}

func (d *desk) FailExport(ctx context.Context, _, leaseToken, reason string) error {
	return d.settle(ctx, leaseToken, func() { d.export.State, d.export.Error = call.ExportFailed, reason })
}

func (d *desk) RemoveOldExports(context.Context) ([]call.Export, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.export.State == call.ExportRemoved && !d.cleared {
		return []call.Export{d.export}, nil
	}
	return nil, nil
}

func (d *desk) ClearExport(context.Context, string) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.cleared = true
	close(d.settled)
	return nil
}

func (d *desk) Export(_ context.Context, id string) (call.Export, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if id != d.export.ID {
		return call.Export{}, call.Errorf(call.NotFound, "no export")
	}
	return d.export, nil
}

func (d *desk) Put(_ context.Context, key string, body io.ReaderAt, size int64, sum [32]byte) error {
	content, err := io.ReadAll(io.NewSectionReader(body, 0, size))
	d.mu.Lock()
	defer d.mu.Unlock()
	d.shelf[key] = content
	if sha256.Sum256(content) != sum {
		return errors.New("another hash")
	}
	return err
}

func (d *desk) Clear(_ context.Context, prefix, keep string) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	for key := range d.shelf {
		if strings.HasPrefix(key, prefix) && (keep == "" || !strings.HasPrefix(key, keep)) {
			delete(d.shelf, key)
		}
	}
	return nil
}

// work runs a Runner until the job is settled, or until ctx ends.
func (d *desk) work(t *testing.T, ctx context.Context, h *house, dir string) {
	t.Helper()
	d.settled, d.claimed = make(chan struct{}), false
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	o := h.options("")
	runner := export.NewRunner(export.RunnerOptions{
		Make: o, Jobs: d, Shelf: d, Dir: dir, Keep: time.Hour, PieceSize: 5000, Every: 10 * time.Millisecond,
	})
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		runner.Run(ctx)
	}()
	runner.Wake()
	select {
	case <-d.settled:
	case <-time.After(time.Minute):
		t.Error("the job is not settled after a minute")
	}
	cancel()
	<-ended
}

// TestJob makes a bundle as a job, puts it into the vault in pieces, and takes
// it away again.
func TestJob(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	for i := range 3 {
		h.add(i, call.Archived)
	}
	d, dir := newDesk(t, h), t.TempDir()
	d.shelf["exports/"+d.export.ID+"/of-another-attempt-000001"] = []byte("half")
	d.work(t, t.Context(), h, dir)
	made := d.export.ExportMade
	if d.export.State != call.ExportReady || made.Recordings != 3 || d.keep != time.Hour || d.by.Name != "meera" {
		t.Fatalf("%+v, by %+v", d.export, d.by)
	}
	var whole []byte
	for n := range int64(len(d.shelf)) {
		whole = append(whole, d.shelf[export.PieceKey(made.Prefix, n)]...)
	}
	if int64(len(whole)) != made.Size || len(d.shelf) != int((made.Size+4999)/5000) {
		t.Errorf("%d bytes in %d pieces, want %d", len(whole), len(d.shelf), made.Size)
	}
	if checked := checkBytes(t, whole, h.key.Fingerprint()); len(checked.Faults) > 0 || checked.ID != d.export.ID {
		t.Errorf("%+v", checked)
	}
	if left, err := os.ReadDir(dir); err != nil || len(left) != 0 {
		t.Errorf("left behind: %v, %v", left, err)
	}
	d.export.State = call.ExportRemoved
	d.work(t, t.Context(), h, dir)
	if len(d.shelf) != 0 {
		t.Errorf("%d pieces are left", len(d.shelf))
	}
}

// TestJobGoesOn ends nodes in the middle of a job: the next goes on.
func TestJobGoesOn(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	for i := range 4 {
		h.add(i, call.Archived)
	}
	d, dir := newDesk(t, h), t.TempDir()
	ctx, cancel := context.WithCancel(t.Context())
	h.onOpen = func(n int) {
		if n == 3 {
			cancel()
		}
	}
	d.work(t, ctx, h, dir)
	if d.export.State != call.ExportWaiting || d.export.Error != "" {
		t.Fatalf("after the end of the node: %+v", d.export)
	}
	h.onOpen, h.opened = nil, 0
	d.work(t, t.Context(), h, dir)
	if d.export.State != call.ExportReady || d.export.Recordings != 4 || h.opened > 2 {
		t.Errorf("%+v, %d recordings were copied", d.export, h.opened)
	}
}

// TestJobFails tells a failure without what is inside, tries again, and gives
// up in the end.
func TestJobFails(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	for i := range 5 {
		h.add(i, call.Archived)
	}
	h.broken = errors.New("dial tcp 10.0.0.7:9000: secret")
	d, dir := newDesk(t, h), t.TempDir()
	d.export.Attempts = 3
	for _, want := range []call.ExportState{call.ExportWaiting, call.ExportFailed} {
		d.work(t, t.Context(), h, dir)
		if d.export.State != want || d.export.Error == "" || strings.Contains(d.export.Error, "secret") {
			t.Errorf("%+v, want %s", d.export, want)
		}
	}
	if left, err := os.ReadDir(dir); err != nil || len(left) != 0 {
		t.Errorf("left behind: %v, %v", left, err)
	}
	// A disk that is full is no matter of trying again.
	h.broken, d.export.Attempts = nil, 0
	if err := os.Symlink("/dev/full", filepath.Join(mkdir(t, filepath.Join(dir, d.export.ID)), "piece")); err != nil {
		t.Fatal(err)
	}
	d.work(t, t.Context(), h, dir)
	if d.export.State != call.ExportFailed || !strings.Contains(d.export.Error, "full") {
		t.Errorf("on a full disk: %+v", d.export)
	}
}

func mkdir(t *testing.T, name string) string {
	t.Helper()
	if err := os.MkdirAll(name, 0o700); err != nil {
		t.Fatal(err)
	}
	return name
}
