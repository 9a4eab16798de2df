package export

import (
	"archive/zip"
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"hash/crc32"
	"io"
	"math"
	"os"
	"time"
)

// file is one file of a bundle, as the manifest lists it.
type file struct {
	Path   string `json:"path"`
	Size   int64  `json:"size"`
	SHA256 string `json:"sha256"`
	// What audio is of.
	Call      string `json:"call,omitempty"`
	Recording string `json:"recording,omitempty"`
	MediaType string `json:"media_type,omitempty"`
	// Archived is the hash that was written down when the audio was archived,
	// where the bytes have another now.
	Archived string `json:"archived_sha256,omitempty"`
}

// stored is a file with what the ZIP says of it beside.
type stored struct {
	file
	CRC32    uint32    `json:"crc32"`
	Modified time.Time `json:"modified"`
}

// header is the file's header in the ZIP. Sizes and checksum are known before,
// so they stand in front of the content, where programs that read the ZIP as it
// comes look for them; only what needs 64 bits has them behind it. Nothing is
// compressed: audio hardly can be, a checker need not fear what unpacks to more
// than it is, and a bundle that was interrupted can be gone on with.
func (s *stored) header() *zip.FileHeader {
	const utf8Names, sizesBehind, versionUnix = 0x800, 0x8, 3<<8 | 20
	h := &zip.FileHeader{
		Name: s.Path, Method: zip.Store, Flags: utf8Names, CreatorVersion: versionUnix, ReaderVersion: 20,
		CRC32: s.CRC32, CompressedSize64: uint64(s.Size), UncompressedSize64: uint64(s.Size),
	}
	if s.Size >= math.MaxUint32 {
		h.Flags |= sizesBehind
	}
	h.SetModTime(s.Modified.UTC()) //nolint:staticcheck // CreateRaw does not do it
	h.SetMode(0o644)
	return h
}

// writer writes a bundle's ZIP, or goes on with one.
type writer struct {
	file *os.File
	sink *sink
	zip  *zip.Writer
}

// sink counts what is written. While it repeats it writes nothing, and
// compares with what lies there already.
type sink struct {
	file    *os.File
	n       int64
	repeats bool
	lies    []byte
}

// errDiffers says that other bytes lie in an interrupted bundle than were
// written.
var errDiffers = errors.New("the interrupted bundle is not as it was written")

func (s *sink) Write(p []byte) (int, error) {
	if !s.repeats {
		n, err := s.file.Write(p)
		s.n += int64(n)
		return n, err
	}
	if len(s.lies) < len(p) {
		s.lies = make([]byte, len(p))
	}
	n, err := s.file.ReadAt(s.lies[:len(p)], s.n)
	if errors.Is(err, io.EOF) && n < len(p) || err == nil && !bytes.Equal(p, s.lies[:n]) {
		err = errDiffers
	}
	if n == len(p) && errors.Is(err, io.EOF) {
		err = nil
	}
	s.n += int64(n)
	return n, err
}

// openWriter opens the ZIP at path and repeats the files that it should hold
// already: what is there is read and compared. It returns how many of them are
// sound; the rest is cut off.
func openWriter(path string, have func(do func(*stored) error) error) (_ *writer, sound int, err error) {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, 0, err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, f.Close())
		}
	}()
	w, sound, err := repeatAll(f, math.MaxInt, have)
	if errors.Is(err, errDiffers) {
		// A ZIP writer cannot forget a file that it has begun.
		w, sound, err = repeatAll(f, sound, have)
	}
	if err != nil {
		return nil, 0, err
	}
	w.sink.repeats, w.sink.lies = false, nil
	if err := f.Truncate(w.sink.n); err != nil {
		return nil, 0, err
	}
	_, err = f.Seek(w.sink.n, io.SeekStart)
	return w, sound, err
}

// errEnough ends a walk over files.
var errEnough = errors.New("enough")

// repeatAll repeats at most so many files, and returns how many it did.
func repeatAll(f *os.File, most int, have func(do func(*stored) error) error) (w *writer, n int, err error) {
	w = newWriter(f, true)
	err = have(func(s *stored) error {
		if n == most {
			return errEnough
		}
		if err := w.repeat(s); err != nil {
			return err
		}
		n++
		return nil
	})
	if errors.Is(err, errEnough) {
		err = nil
	}
	return w, n, err
}

func newWriter(f *os.File, repeats bool) *writer {
	s := &sink{file: f, repeats: repeats}
	return &writer{file: f, sink: s, zip: zip.NewWriter(s)}
}

// repeat takes in a file that lies in the ZIP already.
func (w *writer) repeat(s *stored) error {
	into, err := w.zip.CreateRaw(s.header())
	if err != nil {
		return err
	}
	if err := w.zip.Flush(); err != nil {
		return err
	}
	sum := newDigest()
	n, err := io.Copy(io.MultiWriter(into, sum), io.NewSectionReader(w.file, w.sink.n, s.Size))
	if err != nil {
		return err
	}
	if n != s.Size || sum.hex() != s.SHA256 || sum.crc.Sum32() != s.CRC32 {
		return errDiffers
	}
	return w.zip.Flush()
}

// add writes a file whose content is what the ZIP's header will say.
func (w *writer) add(s *stored, content io.Reader) error {
	into, err := w.zip.CreateRaw(s.header())
	if err != nil {
		return fmt.Errorf("write %s: %w", s.Path, err)
	}
	n, err := io.Copy(into, io.LimitReader(content, s.Size+1))
	if err == nil && n != s.Size {
		err = fmt.Errorf("%d bytes of %d", n, s.Size)
	}
	if err == nil {
		err = w.zip.Flush()
	}
	if err != nil {
		return fmt.Errorf("write %s: %w", s.Path, err)
	}
	return nil
}

// finish writes the ZIP's list of files and brings all to stable storage.
func (w *writer) finish() (size int64, err error) {
	if err = w.zip.Close(); err == nil {
		err = w.file.Sync()
	}
	return w.sink.n, err
}

// digest computes both hashes of a file.
type digest struct {
	sha hash.Hash
	crc hash.Hash32
	n   int64
}

func newDigest() *digest { return &digest{sha: sha256.New(), crc: crc32.NewIEEE()} }

// Write implements io.Writer.
func (d *digest) Write(p []byte) (int, error) {
	// Hashes never fail.
	_, _ = d.sha.Write(p)
	_, _ = d.crc.Write(p)
	d.n += int64(len(p))
	return len(p), nil
}

func (d *digest) hex() string { return hex.EncodeToString(d.sha.Sum(nil)) }
