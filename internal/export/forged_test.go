package export_test

import (
	"archive/zip"
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"runtime"
	"slices"
	"strings"
	"testing"

	"callvault/internal/audit"
	"callvault/internal/call"
	"callvault/internal/export"
)

func checkBytes(t testing.TB, bundle []byte, key string) export.Checked {
	t.Helper()
	checked, err := export.CheckReader(t.Context(), bytes.NewReader(bundle), int64(len(bundle)), export.CheckOptions{Key: key})
	if err != nil {
		t.Fatal(err)
	}
	return checked
}

// wantFault makes sure that a fault of a kind was found.
func wantFault(t *testing.T, checked export.Checked, kind call.FaultKind) {
	t.Helper()
	if !slices.ContainsFunc(checked.Faults, func(f call.Fault) bool { return f.Kind == kind }) {
		t.Errorf("no fault of kind %s: %+v", kind, checked.Faults)
	}
}

// TestForgedByAnother has a bundle that agrees with itself in everything, and
// was signed by somebody else.
func TestForgedByAnother(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	h.add(0, call.Archived)
	key := h.key.Fingerprint()
	h.key = newKey(t)
	forged := read(t, makeBundle(t, h.options(t.TempDir())).File)
	if checked := checkBytes(t, forged, ""); len(checked.Faults) > 0 || checked.SignerChecked || checked.Fingerprint == key {
		t.Errorf("without a key: %+v", checked)
	}
	checked := checkBytes(t, forged, key)
	wantFault(t, checked, export.FaultSigner)
	if checked.SignerChecked {
		t.Error("the signer passes")
	}
	spaced := strings.ToUpper(h.key.Fingerprint()[:8] + " " + h.key.Fingerprint()[8:])
	if checked := checkBytes(t, forged, spaced); !checked.SignerChecked {
		t.Error("a fingerprint as people write it is not taken")
	}
}

// TestForgedByTheOwner has what somebody can do who has the key, but not the
// log's past: other entries, and other audio with the row to match.
func TestForgedByTheOwner(t *testing.T) {
	t.Parallel()
	t.Run("entry", func(t *testing.T) {
		t.Parallel()
		h := newHouse(t)
		h.add(0, call.Archived)
		h.forge = func(e *audit.Entry) {
			if e.Actor.Name != "" {
				e.Actor.Name = "nobody"
			}
		}
		wantFault(t, checkBytes(t, read(t, makeBundle(t, h.options(t.TempDir())).File), ""), export.FaultCustody)
	})
	t.Run("place", func(t *testing.T) {
		t.Parallel()
		h := newHouse(t)
		h.add(0, call.Archived)
		h.forge = func(e *audit.Entry) { e.Seq++ }
		if _, err := export.Make(t.Context(), h.options(t.TempDir())); err == nil {
			t.Error("a bundle was made of entries in the wrong place")
		}
	})
	t.Run("audio", func(t *testing.T) {
		t.Parallel()
		h := newHouse(t)
		r := &h.add(0, call.Archived).Recordings[0]
		other := []byte("other words")
		sum := sha256.Sum256(other)
		h.objects[r.ObjectKey], r.Size, r.SHA256 = other, int64(len(other)), hex.EncodeToString(sum[:])
		made := makeBundle(t, h.options(t.TempDir()))
		wantFault(t, checkBytes(t, read(t, made.File), ""), export.FaultCustody)
		wantUnproved(t, made, "The audit log says that it was archived with SHA-256")
	})
	t.Run("row", func(t *testing.T) {
		t.Parallel()
		h := newHouse(t)
		h.add(0, call.Archived).Recordings[0].ID = id(4000)
		made := makeBundle(t, h.options(t.TempDir()))
		wantUnproved(t, made, "The audit log does not say that it was archived")
		if checked := checkBundle(t, made.File, ""); len(checked.Faults) > 0 || checked.Unproved != 1 {
			t.Errorf("checked %+v", checked)
		}
	})
}

// wantUnproved wants a bundle of one recording that the log does not speak for.
func wantUnproved(t *testing.T, made export.Result, says string) {
	t.Helper()
	if made.Recordings != 0 || made.Missing != 1 || made.Unproved != 1 {
		t.Errorf("made %+v", made)
	}
	_, content := unpack(t, read(t, made.File))
	if missing := string(content[export.MissingFile]); !strings.Contains(missing, ",unproved,"+says) && !strings.Contains(missing, `,unproved,"`+says) {
		t.Errorf("missing.csv: %s", missing)
	}
}

// TestHostileBundles has ZIPs that were made to hurt whoever checks them.
func TestHostileBundles(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	h.add(0, call.Archived)
	good := read(t, makeBundle(t, h.options(t.TempDir())).File)
	names, content := unpack(t, good)
	same := func(n string, b []byte) (string, []byte, bool) { return n, b, true }
	with := func(more ...zip.FileHeader) []byte {
		var b bytes.Buffer
		z := zip.NewWriter(&b)
		for _, f := range more {
			w, err := z.CreateHeader(&f)
			if err == nil {
				_, err = w.Write(make([]byte, 50<<20))
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
	renamed := bytes.Clone(good)
	copy(renamed[30:], "AUDIO") // in front of the first file, not in the list
	overlapping := bytes.Clone(good)
	// The second entry of the list points at the first file.
	first := bytes.Index(overlapping, []byte("PK\x01\x02"))
	second := first + 4 + bytes.Index(overlapping[first+4:], []byte("PK\x01\x02"))
	binary.LittleEndian.PutUint32(overlapping[second+42:], 0)
	commented := bytes.Clone(good)
	binary.LittleEndian.PutUint16(commented[len(commented)-2:], 4)
	commented = append(commented, "boo!"...)
	for name, tt := range map[string]struct {
		bundle []byte
		kind   call.FaultKind
	}{
		"empty":           {nil, export.FaultZip},
		"not a ZIP":       {bytes.Repeat([]byte("PK\x05\x06"), 1000), export.FaultZip},
		"cut":             {good[:len(good)-100], export.FaultZip},
		"bomb":            {with(zip.FileHeader{Name: export.ManifestFile, Method: zip.Deflate}), export.FaultZip},
		"twice":           {pack(t, append(slices.Clone(names), export.CallsFile), content, same), export.FaultZip},
		"traversal":       {pack(t, append(slices.Clone(names), "../x"), content, same), export.FaultZip},
		"absolute":        {pack(t, append(slices.Clone(names), "/etc/x"), content, same), export.FaultZip},
		"windows":         {pack(t, append(slices.Clone(names), `audio\..\x`), content, same), export.FaultZip},
		"hidden":          {append([]byte("a program in front"), good...), export.FaultZip},
		"another name":    {renamed, export.FaultZip},
		"overlapping":     {overlapping, export.FaultZip},
		"comment":         {commented, export.FaultZip},
		"huge signature":  {pack(t, names, content, replace(export.SignatureFile, bytes.Repeat([]byte("x"), 1<<20))), export.FaultSignature},
		"huge line":       {pack(t, names, content, replace(export.ManifestFile, bytes.Repeat([]byte(`{"bundle":`), 1<<20))), export.FaultManifest},
		"deep JSON":       {pack(t, names, content, replace(export.ManifestFile, bytes.Repeat([]byte("["), 900<<10))), export.FaultManifest},
		"added":           {pack(t, append(slices.Clone(names), "audio/more.wav"), content, same), export.FaultAdded},
		"without custody": {pack(t, slices.DeleteFunc(slices.Clone(names), func(n string) bool { return n == export.CustodyFile }), content, same), call.FaultMissing},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			checked := checkBytes(t, tt.bundle, "")
			wantFault(t, checked, tt.kind)
			for _, f := range checked.Faults {
				if f.What == "" || len(f.What) > 2000 {
					t.Errorf("fault %+v", f)
				}
			}
		})
	}
}

func replace(name string, by []byte) func(string, []byte) (string, []byte, bool) {
	return func(n string, b []byte) (string, []byte, bool) {
		if n == name {
			b = by
		}
		return n, b, true
	}
}

// TestManifestOfAnother puts the manifest and signature of one bundle over the
// files of another.
func TestManifestOfAnother(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	h.add(0, call.Archived)
	_, first := unpack(t, read(t, makeBundle(t, h.options(t.TempDir())).File))
	h.add(1, call.Archived)
	names, second := unpack(t, read(t, makeBundle(t, h.options(t.TempDir())).File))
	both := pack(t, names, second, func(n string, b []byte) (string, []byte, bool) {
		if n == export.ManifestFile || n == export.SignatureFile {
			b = first[n]
		}
		return n, b, true
	})
	checked := checkBytes(t, both, "")
	wantFault(t, checked, export.FaultAdded)
	wantFault(t, checked, export.FaultChanged)
	onlySignature := pack(t, names, second, replace(export.SignatureFile, first[export.SignatureFile]))
	wantFault(t, checkBytes(t, onlySignature, ""), export.FaultSignature)
}

// FuzzCheck changes bundles at will: the checker never fails, and never passes
// what holds other files than were signed.
func FuzzCheck(f *testing.F) {
	h := newHouse(f)
	h.add(0, call.Archived)
	h.add(1, call.Refused)
	good := read(f, makeBundle(f, h.options(f.TempDir())).File)
	_, want := unpack(f, good)
	f.Add(0, 0, []byte{})
	f.Add(40, 1, []byte("x"))
	f.Add(bytes.LastIndex(good, []byte("PK\x01\x02"))+42, 4, []byte{0, 0, 0, 0})
	f.Add(len(good)-22, 22, []byte("PK\x05\x06"))
	// What is changed is small, so that it can be made smaller.
	f.Fuzz(func(t *testing.T, at, drop int, insert []byte) {
		at = min(max(at, 0), len(good))
		drop = min(max(drop, 0), len(good)-at)
		bundle := slices.Concat(good[:at], insert, good[at+drop:])
		checked := checkBytes(t, bundle, h.key.Fingerprint())
		if len(checked.Faults) > 0 {
			return
		}
		names, got := unpack(t, bundle)
		if len(names) != len(want) {
			t.Fatalf("%d files pass for %d", len(names), len(want))
		}
		for name := range want {
			if !bytes.Equal(want[name], got[name]) {
				t.Fatalf("another %s passes", name)
			}
		}
	})
}

// TestFlatMemory makes a bundle of many recordings, and one of few, and compares
// what they take.
func TestFlatMemory(t *testing.T) { //nolint:paralleltest // it measures the heap of all
	h := newHouse(t)
	for i := range 1000 {
		h.add(i, call.Archived)
	}
	var most int64
	o := h.options(t.TempDir())
	before := heap()
	o.Progress = func(done, _ int) {
		if done%250 == 0 {
			most = max(most, heap()-before)
		}
	}
	makeBundle(t, o)
	// 1,000 recordings are 10 MB and more; the list of the ZIP's files is 1.
	if most > 4<<20 {
		t.Errorf("%d bytes were in use", most)
	}
}

func heap() int64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}
