package archive

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"hash"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"

	"callvault/internal/media"
)

// ErrTooLarge says that a recording has more bytes than are allowed.
var ErrTooLarge = errors.New("recording is too large")

// Spooler gives out spools. Their memory is shared between them: in pieces,
// so that small recordings take little.
type Spooler struct {
	folder string
	pieces sync.Pool // of *[pieceBytes]byte
}

const (
	pieceBytes   = 64 << 10
	memoryPieces = 16 // 1 MiB; what is larger goes to a file
	spoolPrefix  = "recording-"
)

// NewSpooler returns a spooler whose files lie in folder, which is made if
// missing. Files left there by a killed process are removed.
func NewSpooler(folder string) (*Spooler, error) {
	if err := os.MkdirAll(folder, 0o700); err != nil {
		return nil, fmt.Errorf("open spool: %w", err)
	}
	entries, err := os.ReadDir(folder)
	if err != nil {
		return nil, fmt.Errorf("open spool: %w", err)
	}
	for _, entry := range entries {
		if !strings.HasPrefix(entry.Name(), spoolPrefix) {
			continue
		}
		err := os.Remove(filepath.Join(folder, entry.Name()))
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return nil, fmt.Errorf("open spool: %w", err)
		}
	}
	return &Spooler{folder: folder}, nil
}

// Spool holds one recording between its host and the vault: up to 1 MiB in
// memory, more in a file. It is filled by one goroutine and then read.
type Spool struct {
	spooler *Spooler
	limit   int64
	size    int64
	hash    hash.Hash
	probe   *media.Probe        // sees all of it, once there is one
	pieces  []*[pieceBytes]byte // all of it; with a file one, to read into
	file    *os.File            // all of it, once there is more than memory holds
	named   bool                // the file still has its name
}

// New returns an empty spool that takes at most limit bytes. The caller
// closes it.
func (s *Spooler) New(limit int64) *Spool {
	return &Spool{spooler: s, limit: limit, hash: sha256.New()}
}

// ReadFrom takes in r until its end, behind what is there already.
// ErrTooLarge when it comes to more than the limit. It implements
// io.ReaderFrom, so that io.Copy needs no buffer.
func (s *Spool) ReadFrom(r io.Reader) (int64, error) {
	begin := s.size
	for {
		free, err := s.space()
		if err != nil {
			return s.size - begin, fmt.Errorf("spool: %w", err)
		}
		n, readErr := r.Read(free)
		s.size += int64(n)
		if s.size > s.limit {
			return s.size - begin, ErrTooLarge
		}
		s.hash.Write(free[:n]) // never fails
		if s.probe != nil {
			_, _ = s.probe.Write(free[:n]) // never fails
		}
		if s.file != nil {
			if _, err := s.file.Write(free[:n]); err != nil {
				return s.size - begin, fmt.Errorf("spool: %w", err)
			}
		}
		if readErr == io.EOF {
			return s.size - begin, nil
		}
		if readErr != nil {
			return s.size - begin, readErr
		}
	}
}

// probeFrom lets a probe see what is there, which is head, and all that comes.
func (s *Spool) probeFrom(head []byte, mediaType string) {
	s.probe = media.NewProbe(mediaType)
	_, _ = s.probe.Write(head) // never fails
}

// space returns memory to read into: the free part of the last piece, or,
// once there is a file, a buffer.
func (s *Spool) space() ([]byte, error) {
	if s.file == nil && s.size == memoryPieces*pieceBytes {
		if err := s.moveToFile(); err != nil {
			return nil, err
		}
	}
	if s.file != nil {
		return s.pieces[0][:], nil
	}
	if int(s.size/pieceBytes) == len(s.pieces) {
		piece, ok := s.spooler.pieces.Get().(*[pieceBytes]byte)
		if !ok { // the pool is empty
			piece = new([pieceBytes]byte)
		}
		s.pieces = append(s.pieces, piece)
	}
	return s.pieces[s.size/pieceBytes][s.size%pieceBytes:], nil
}

// moveToFile empties memory into a file, but for one piece to read into.
func (s *Spool) moveToFile() error {
	if err := s.createFile(); err != nil {
		return err
	}
	for _, piece := range s.pieces {
		if _, err := s.file.Write(piece[:]); err != nil {
			return err
		}
	}
	s.release(s.pieces[1:])
	s.pieces = s.pieces[:1]
	return nil
}

// createFile makes a file that goes away with the process, however it ends:
// where the system allows it, its name is removed at once.
func (s *Spool) createFile() error {
	f, err := os.CreateTemp(s.spooler.folder, spoolPrefix+"*")
	if err != nil {
		return err
	}
	s.file = f
	err = os.Remove(f.Name())
	s.named = err != nil && !errors.Is(err, fs.ErrNotExist)
	return nil
}

// Size in bytes of what was taken in.
func (s *Spool) Size() int64 { return s.size }

// SHA256 of what was taken in.
func (s *Spool) SHA256() [sha256.Size]byte { return [sha256.Size]byte(s.hash.Sum(nil)) }

// ReadAt implements io.ReaderAt.
func (s *Spool) ReadAt(p []byte, offset int64) (n int, err error) {
	if s.file != nil {
		return s.file.ReadAt(p, offset)
	}
	if offset < 0 {
		return 0, fmt.Errorf("read spool at %d: %w", offset, fs.ErrInvalid)
	}
	for n < len(p) && offset < s.size {
		piece := s.pieces[offset/pieceBytes]
		end := min(pieceBytes, s.size-offset/pieceBytes*pieceBytes)
		copied := copy(p[n:], piece[offset%pieceBytes:end])
		n += copied
		offset += int64(copied)
	}
	if n < len(p) {
		return n, io.EOF
	}
	return n, nil
}

// Close gives back memory and file. The spool is of no use afterwards.
func (s *Spool) Close() error {
	s.release(s.pieces)
	s.pieces, s.size = nil, 0
	if s.file == nil {
		return nil
	}
	err := s.file.Close()
	if s.named {
		err = errors.Join(err, os.Remove(s.file.Name()))
	}
	s.file = nil
	return err
}

func (s *Spool) release(pieces []*[pieceBytes]byte) {
	for _, piece := range pieces {
		s.spooler.pieces.Put(piece)
	}
}
