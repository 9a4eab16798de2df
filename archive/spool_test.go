package archive_test

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"io"
	"os"
	"path/filepath"
	"testing"
	"testing/iotest"

	"callvault/archive"
)

func newSpooler(t *testing.T, folder string) *archive.Spooler {
	t.Helper()
	s, err := archive.NewSpooler(folder)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// audio returns n bytes that do not repeat within a piece of memory.
func audio(n int) []byte {
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(i ^ i>>8 ^ i>>16)
	}
	return b
}

func TestSpool(t *testing.T) {
	t.Parallel()
	spooler := newSpooler(t, t.TempDir())
	for _, size := range []int{0, 1, 4096, 64 << 10, 64<<10 + 1, 220_000, 1<<20 - 1, 1 << 20, 1<<20 + 1, 3 << 20} {
		want := audio(size)
		spool := spooler.New(int64(size))
		// As the fetcher does it: the beginning first, then the rest.
		source := iotest.HalfReader(bytes.NewReader(want))
		for _, r := range []io.Reader{io.LimitReader(source, 4096), source} {
			if _, err := spool.ReadFrom(r); err != nil {
				t.Fatal(err)
			}
		}
		if spool.Size() != int64(size) || spool.SHA256() != sha256.Sum256(want) {
			t.Errorf("%d: size %d, SHA-256 %x", size, spool.Size(), spool.SHA256())
		}
		got, err := io.ReadAll(io.NewSectionReader(spool, 0, spool.Size()))
		if err != nil || !bytes.Equal(got, want) {
			t.Errorf("%d: read back as something else (%v)", size, err)
		}
		closeIt(t, spool)
	}
}

func TestSpoolIsAReaderAt(t *testing.T) {
	t.Parallel()
	spooler := newSpooler(t, t.TempDir())
	want := audio(100_000) // two pieces
	spool := spooler.New(1 << 20)
	defer closeIt(t, spool)
	if _, err := spool.ReadFrom(bytes.NewReader(want)); err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		offset int64
		length int
		err    error
	}{
		{0, 100_000, nil}, {65_530, 12, nil}, {65_536, 1, nil}, {99_999, 1, nil},
		{0, 0, nil}, {99_990, 20, io.EOF}, {100_000, 1, io.EOF}, {1 << 40, 1, io.EOF},
	} {
		got := make([]byte, tt.length)
		n, err := spool.ReadAt(got, tt.offset)
		rest := want[min(tt.offset, 100_000):]
		if !errors.Is(err, tt.err) || !bytes.Equal(got[:n], rest[:min(tt.length, len(rest))]) {
			t.Errorf("%d bytes at %d: %d, %v", tt.length, tt.offset, n, err)
		}
	}
	if _, err := spool.ReadAt(make([]byte, 1), -1); err == nil {
		t.Error("read before the beginning")
	}
}

func TestSpoolTakesNoMoreThanItsLimit(t *testing.T) {
	t.Parallel()
	spooler := newSpooler(t, t.TempDir())
	for _, limit := range []int64{0, 10, 1 << 20, 2 << 20} {
		spool := spooler.New(limit)
		endless := bytes.NewReader(audio(int(limit) + 1))
		if _, err := spool.ReadFrom(endless); !errors.Is(err, archive.ErrTooLarge) {
			t.Errorf("%d: got %v, want %v", limit, err, archive.ErrTooLarge)
		}
		closeIt(t, spool)
	}
}

func TestSpoolTellsOfAnInterruption(t *testing.T) {
	t.Parallel()
	spool := newSpooler(t, t.TempDir()).New(1 << 30)
	defer closeIt(t, spool)
	broken := errors.New("connection reset")
	n, err := spool.ReadFrom(io.MultiReader(bytes.NewReader(audio(2<<20)), iotest.ErrReader(broken)))
	if !errors.Is(err, broken) || n != 2<<20 {
		t.Errorf("got %d, %v, want %d, %v", n, err, 2<<20, broken)
	}
}

func TestSpoolsShareMemoryNotContent(t *testing.T) {
	t.Parallel()
	spooler := newSpooler(t, t.TempDir())
	for i := range 3 {
		content := bytes.Repeat([]byte{byte('a' + i)}, 100_000)
		spool := spooler.New(1 << 20)
		if _, err := spool.ReadFrom(bytes.NewReader(content)); err != nil {
			t.Fatal(err)
		}
		got, err := io.ReadAll(io.NewSectionReader(spool, 0, spool.Size()))
		if err != nil || !bytes.Equal(got, content) {
			t.Errorf("spool %d holds something else (%v)", i, err)
		}
		closeIt(t, spool)
	}
}

func TestSpoolLeavesNoFiles(t *testing.T) {
	t.Parallel()
	folder := filepath.Join(t.TempDir(), "data", "spool")
	if err := os.MkdirAll(folder, 0o700); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"recording-123", "deliveries"} {
		if err := os.WriteFile(filepath.Join(folder, name), []byte("x"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	spool := newSpooler(t, folder).New(1 << 30)
	if _, err := spool.ReadFrom(bytes.NewReader(audio(2 << 20))); err != nil {
		t.Fatal(err)
	}
	newSpooler(t, folder) // another process that starts must not disturb
	got, err := io.ReadAll(io.NewSectionReader(spool, 0, spool.Size()))
	if err != nil || !bytes.Equal(got, audio(2<<20)) {
		t.Errorf("read back as something else (%v)", err)
	}
	closeIt(t, spool)
	entries, err := os.ReadDir(folder)
	if err != nil || len(entries) != 1 || entries[0].Name() != "deliveries" {
		t.Errorf("left: %v, %v, want what is not the spool's", entries, err)
	}
}
