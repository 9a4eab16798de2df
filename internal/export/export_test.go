package export_test

import (
	"archive/zip"
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"callvault/internal/audit"
	"callvault/internal/call"
	"callvault/internal/export"

	"golang.org/x/mod/sumdb/tlog"
)

// house is all that an export asks, in memory.
type house struct {
	mu         sync.Mutex
	calls      []call.CallDetail
	deliveries map[int64]call.Delivery
	objects    map[string][]byte
	entries    []audit.Entry
	hashes     []tlog.Hash
	key        *audit.Key
	// opened counts reads of objects; broken is what the vault says, for keys
	// that begin with brokenKey.
	opened    int
	onOpen    func(n int)
	broken    error
	brokenKey string
	// forge changes entries as they are read.
	forge func(*audit.Entry)
}

var errNoObject = errors.New("no such object")

func newHouse(t testing.TB) *house {
	t.Helper()
	return &house{deliveries: map[int64]call.Delivery{}, objects: map[string][]byte{}, key: newKey(t)}
}

func newKey(t testing.TB) *audit.Key {
	t.Helper()
	text, err := audit.NewKey()
	if err != nil {
		t.Fatal(err)
	}
	key, err := audit.ReadKey(text)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

func id(n int) string { return fmt.Sprintf("00000000-0000-4000-8000-%012d", n) }

var start = time.Date(2026, 11, 21, 4, 0, 12, 0, time.UTC)

// add adds a call with one recording in a state.
func (h *house) add(n int, state call.RecordingState) *call.CallDetail {
	d := call.CallDetail{CallWithRecordings: call.CallWithRecordings{Call: call.Call{
		ID: id(n), Account: "sales", Provider: call.CallerDesk, Key: fmt.Sprintf("k%d", n), Direction: call.Inbound, Outcome: call.Answered,
		CustomerNumber: "+919812345678", Agent: call.Agent{Name: "Asha Rao"}, Group: "Billing",
		StartedAt: start.Add(time.Duration(n) * time.Minute), LegsCount: 1,
	}}}
	d.Legs = []call.Leg{{Key: fmt.Sprintf("leg%d", n), Attributes: call.Attributes{"x": []byte(`"=1+1"`)}}}
	r := call.Recording{ID: id(1000 + n), CallID: d.ID, Account: "sales", Kind: call.Conversation, Source: fmt.Sprintf("s%d.wav", n), State: state}
	if state == call.Archived {
		audio := []byte(strings.Repeat(fmt.Sprintf("audio %d ", n), 1000+n))
		sum := sha256.Sum256(audio)
		r.ObjectKey, r.Size, r.SHA256, r.MediaType = fmt.Sprintf("calls/%d.wav", n), int64(len(audio)), hex.EncodeToString(sum[:]), "audio/wav"
		h.objects[r.ObjectKey] = audio
		h.log(audit.Entry{At: start, Action: audit.RecordingArchived, Subject: "recording/" + r.ID, Facts: []byte(`{"sha256":"` + r.SHA256 + `"}`)})
	}
	h.log(audit.Entry{At: start, Action: audit.CallViewed, Subject: "call/" + d.ID, Actor: audit.Actor{Kind: audit.KindUser, Name: "<meera> & co"}})
	h.log(audit.Entry{At: start, Action: audit.CallViewed, Subject: "call/another"})
	d.Recordings = []call.Recording{r}
	h.deliveries[int64(n)] = call.Delivery{ID: int64(n), Account: "sales", Body: []byte("\xff raw body " + d.Key), CallIDs: []string{d.ID}}
	d.Deliveries = []call.Delivery{{ID: int64(n)}}
	h.calls = append(h.calls, d)
	return &h.calls[len(h.calls)-1]
}

func (h *house) log(e audit.Entry) {
	e.Seq = int64(len(h.entries))
	record, err := e.Record()
	if err != nil {
		panic(err)
	}
	hashes, err := tlog.StoredHashes(e.Seq, record, h.reader())
	if err != nil {
		panic(err)
	}
	h.hashes = append(h.hashes, hashes...)
	h.entries = append(h.entries, e)
}

func (h *house) reader() tlog.HashReader {
	return tlog.HashReaderFunc(func(indexes []int64) ([]tlog.Hash, error) {
		got := make([]tlog.Hash, len(indexes))
		for i, x := range indexes {
			got[i] = h.hashes[x]
		}
		return got, nil
	})
}

func (h *house) EachCall(_ context.Context, f call.Filter, do func(call.CallWithRecordings) error) error {
	for _, c := range h.calls {
		if f.Account != "" && f.Account != c.Account || len(f.Groups) > 0 && !slices.Contains(f.Groups, c.Group) {
			continue
		}
		if err := do(c.CallWithRecordings); err != nil {
			return err
		}
	}
	return nil
}

func (h *house) Call(_ context.Context, id string) (call.CallDetail, error) {
	for _, c := range h.calls {
		if c.ID == id {
			return c, nil
		}
	}
	return call.CallDetail{}, call.Errorf(call.NotFound, "no call")
}

func (h *house) Recording(_ context.Context, id string) (call.Recording, error) {
	for _, c := range h.calls {
		for _, r := range c.Recordings {
			if r.ID == id {
				return r, nil
			}
		}
	}
	return call.Recording{}, call.Errorf(call.NotFound, "no recording")
}

func (h *house) Delivery(_ context.Context, id int64) (call.Delivery, error) {
	d, ok := h.deliveries[id]
	if !ok {
		return d, call.Errorf(call.NotFound, "no delivery")
	}
	return d, nil
}

func (h *house) Open(_ context.Context, key string) (io.ReadCloser, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.opened++
	if h.onOpen != nil {
		h.onOpen(h.opened)
	}
	if h.broken != nil && strings.HasPrefix(key, h.brokenKey) {
		return nil, h.broken
	}
	body, ok := h.objects[key]
	if !ok {
		return nil, errNoObject
	}
	return io.NopCloser(bytes.NewReader(body)), nil
}

func (h *house) Gone(err error) bool { return errors.Is(err, errNoObject) }

func (h *house) AuditHead(context.Context) (audit.Head, error) {
	hash, err := tlog.TreeHash(int64(len(h.entries)), h.reader())
	return audit.Head{Size: int64(len(h.entries)), Hash: hash}, err
}

func (h *house) AuditEntries(_ context.Context, from int64, limit int) ([]audit.Entry, error) {
	found := slices.Clone(h.entries[from:min(from+int64(limit), int64(len(h.entries)))])
	for i := range found {
		if h.forge != nil {
			h.forge(&found[i])
		}
	}
	return found, nil
}

func (h *house) AuditProof(_ context.Context, size, seq int64) (tlog.RecordProof, error) {
	return tlog.ProveRecord(size, seq, h.reader())
}

func (h *house) AuditAbout(_ context.Context, subjects []string) ([]int64, error) {
	var seqs []int64
	for _, e := range h.entries {
		if slices.Contains(subjects, e.Subject) {
			seqs = append(seqs, e.Seq)
		}
	}
	return seqs, nil
}

// options are those of an export of everything into a folder.
func (h *house) options(dir string) export.Options {
	return export.Options{
		Request: export.Request{Filter: &call.Filter{}, Reason: "court order 7/2026", By: audit.Actor{Kind: audit.KindUser, Name: "meera"}},
		Dir:     dir, Store: h, Vault: h, Log: h, Key: h.key,
		Zone:    func(string) *time.Location { return time.FixedZone("IST", 19800) },
		Program: "test", Now: func() time.Time { return start.Add(24 * time.Hour) }, Logger: slog.New(slog.DiscardHandler),
	}
}

func makeBundle(t testing.TB, o export.Options) export.Result {
	t.Helper()
	result, err := export.Make(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	return result
}

func checkBundle(t *testing.T, name, key string) export.Checked {
	t.Helper()
	checked, err := export.Check(t.Context(), name, export.CheckOptions{Key: key})
	if err != nil {
		t.Fatal(err)
	}
	return checked
}

// TestBundle makes a bundle with everything that can be missing, and checks it
// with its own checker and with the system's tools.
func TestBundle(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	for n, state := range []call.RecordingState{call.Archived, call.Absent, call.Refused, call.Expired, call.Erased, call.Pending, call.Archived, call.Archived, call.Archived} {
		h.add(n, state)
	}
	delete(h.objects, "calls/6.wav")
	h.objects["calls/7.wav"][5] ^= 1
	result := makeBundle(t, h.options(t.TempDir()))
	if result.Calls != 9 || result.Recordings != 2 || result.Missing != 7 || result.Altered != 1 {
		t.Errorf("result %+v", result)
	}
	checked := checkBundle(t, result.File, "")
	if len(checked.Faults) > 0 || checked.SignerChecked || checked.Fingerprint == "" || checked.Checked != checked.OK || checked.Custody != 9+4 {
		t.Errorf("checked %+v", checked)
	}
	if again := checkBundle(t, result.File, checked.Fingerprint); len(again.Faults) > 0 || !again.SignerChecked {
		t.Errorf("with the key: %+v", again)
	}
	if other := checkBundle(t, result.File, strings.Repeat("0", 64)); len(other.Faults) != 1 || other.Faults[0].Kind != export.FaultSigner {
		t.Errorf("with another key: %+v", other)
	}

	folder := unzip(t, result.File)
	run(t, folder, "sha256sum", "-c", "--strict", "SHA256SUMS")
	if _, err := os.Stat(filepath.Join(folder, "audio/2026-11-21/093012_inbound_+919812345678_Asha-Rao_"+id(1000)+".wav")); err != nil {
		t.Error(err)
	}
	if _, err := os.Stat(filepath.Join(folder, "altered/2026-11-21/093712_inbound_+919812345678_Asha-Rao_"+id(1007)+".wav")); err != nil {
		t.Error(err)
	}
	missing, err := os.ReadFile(filepath.Join(folder, "missing.csv"))
	if err != nil {
		t.Fatal(err)
	}
	for _, why := range []string{"absent", "refused", "expired", "erased", "pending", "not_in_vault", "altered"} {
		if strings.Count(string(missing), ","+why+",") != 1 {
			t.Errorf("missing.csv does not say %s once:\n%s", why, missing)
		}
	}
}

// unzip unpacks a bundle with the system's tool.
func unzip(t *testing.T, name string) (folder string) {
	t.Helper()
	folder = t.TempDir()
	run(t, folder, "unzip", "-q", name)
	return folder
}

func run(t *testing.T, folder, name string, args ...string) {
	t.Helper()
	c := exec.CommandContext(t.Context(), name, args...)
	c.Dir = folder
	if text, err := c.CombinedOutput(); err != nil {
		t.Fatalf("%s: %v\n%s", name, err, text)
	}
}

// TestTampering changes each byte range of a bundle in turn, and takes away,
// adds and renames files.
func TestTampering(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	h.add(0, call.Archived)
	h.add(1, call.Absent)
	result := makeBundle(t, h.options(t.TempDir()))
	whole, err := os.ReadFile(result.File)
	if err != nil {
		t.Fatal(err)
	}
	names, content := unpack(t, whole)
	for _, name := range names {
		for what, change := range map[string]func(string, []byte) (string, []byte, bool){
			"changed": func(n string, b []byte) (string, []byte, bool) {
				b = bytes.Clone(b)
				b[len(b)/2] ^= 1
				return n, b, true
			},
			"longer":  func(n string, b []byte) (string, []byte, bool) { return n, append(bytes.Clone(b), 'x'), true },
			"shorter": func(n string, b []byte) (string, []byte, bool) { return n, b[:len(b)-1], true },
			"removed": func(string, []byte) (string, []byte, bool) { return "", nil, false },
			"renamed": func(n string, b []byte) (string, []byte, bool) { return n + "x", b, true },
		} {
			changed := pack(t, names, content, func(n string, b []byte) (string, []byte, bool) {
				if n == name {
					return change(n, b)
				}
				return n, b, true
			})
			checked, err := export.CheckReader(t.Context(), bytes.NewReader(changed), int64(len(changed)), export.CheckOptions{})
			if err != nil || len(checked.Faults) == 0 {
				t.Errorf("%s %s: nothing found, %v", name, what, err)
				continue
			}
			if !slices.ContainsFunc(checked.Faults, func(f call.Fault) bool {
				return strings.HasPrefix(f.Where, strings.TrimSuffix(name, ".sig")) || f.Where == export.SignatureFile
			}) {
				t.Errorf("%s %s: it is not named: %+v", name, what, checked.Faults)
			}
		}
	}
	same := pack(t, names, content, func(n string, b []byte) (string, []byte, bool) { return n, b, true })
	if checked, err := export.CheckReader(t.Context(), bytes.NewReader(same), int64(len(same)), export.CheckOptions{}); err != nil || len(checked.Faults) > 0 {
		t.Errorf("unchanged: %+v, %v", checked, err)
	}
}

func unpack(t testing.TB, whole []byte) (names []string, content map[string][]byte) {
	t.Helper()
	z, err := zip.NewReader(bytes.NewReader(whole), int64(len(whole)))
	if err != nil {
		t.Fatal(err)
	}
	content = map[string][]byte{}
	for _, f := range z.File {
		r, err := f.OpenRaw() // nothing is compressed
		if err != nil {
			t.Fatal(err)
		}
		text, err := io.ReadAll(r)
		if err != nil {
			t.Fatal(err)
		}
		names, content[f.Name] = append(names, f.Name), text
	}
	return names, content
}

// pack makes a ZIP of files, each as change makes it.
func pack(t *testing.T, names []string, content map[string][]byte, change func(string, []byte) (string, []byte, bool)) []byte {
	t.Helper()
	var b bytes.Buffer
	z := zip.NewWriter(&b)
	for _, name := range names {
		n, text, ok := change(name, content[name])
		if !ok {
			continue
		}
		w, err := z.CreateHeader(&zip.FileHeader{Name: n, Method: zip.Store})
		if err == nil {
			_, err = w.Write(text)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}
