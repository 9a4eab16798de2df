package webhook

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/google/uuid"

	"callvault/internal/call"
)

const (
	spoolSuffix = ".spool"
	// damagedSuffix is that of files with lines that cannot be read; they stay
	// for people to look at.
	damagedSuffix = ".damaged"
	// maxSpoolFile is in bytes. A larger file is followed by a new one, so that
	// draining gives space back bit by bit.
	maxSpoolFile = 64 << 20
)

// castagnoli is the polynomial of the lines' check sums.
var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// spool keeps deliveries on disk while the database cannot be written. Each
// line of its files is the CRC-32C of a delivery, in hex, a space, and the
// delivery as JSON, without what was made of it: that is decoded again. A line
// that was torn when the process died was never acknowledged.
type spool struct {
	dir    string
	logger *slog.Logger
	// filled says that there is something to drain.
	filled chan struct{}

	mu      sync.Mutex
	file    *os.File // nil until there is something to append
	written int64
}

// spooled is a delivery as it lies on disk.
type spooled struct {
	UID           string              `json:"uid"`
	Account       string              `json:"account"`
	ReceivedAt    time.Time           `json:"received_at"`
	Method        string              `json:"method"`
	ContentType   string              `json:"content_type"`
	Query         string              `json:"query"`
	Body          []byte              `json:"body"`
	RemoteAddress string              `json:"remote_address"`
	Source        call.DeliverySource `json:"source"`
}

func openSpool(dir string, logger *slog.Logger) (*spool, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("spool of deliveries: %w", err)
	}
	return &spool{dir: dir, logger: logger, filled: make(chan struct{}, 1)}, nil
}

// append writes deliveries and returns when they are safe on disk. On error
// none of them counts as stored.
func (s *spool) append(batch []*call.Delivery) error {
	var lines []byte
	for _, d := range batch {
		line, err := encodeLine(d)
		if err != nil {
			return err
		}
		lines = append(lines, line...)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	err := s.write(lines)
	if err != nil || s.written > maxSpoolFile {
		// After an error nobody knows what the file's end looks like: what is
		// written later goes to another one.
		err = errors.Join(err, s.closeFile())
	}
	if err != nil {
		return fmt.Errorf("spool of deliveries: %w", err)
	}
	select {
	case s.filled <- struct{}{}:
	default:
	}
	return nil
}

func (s *spool) write(lines []byte) error {
	if s.file == nil {
		id, err := uuid.NewV7() // in the order of time
		if err != nil {
			return err
		}
		s.file, err = os.OpenFile(filepath.Join(s.dir, id.String()+spoolSuffix),
			os.O_CREATE|os.O_EXCL|os.O_WRONLY|os.O_APPEND, 0o600)
		if err != nil {
			return err
		}
		s.written = 0
		if err := syncDir(s.dir); err != nil {
			return err
		}
	}
	n, err := s.file.Write(lines)
	s.written += int64(n)
	if err != nil {
		return err
	}
	return s.file.Sync()
}

// syncDir makes the names of new files as safe as their content.
func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

// closeFile ends the file that is appended to; s.mu is held.
func (s *spool) closeFile() error {
	if s.file == nil {
		return nil
	}
	err := s.file.Close()
	s.file = nil
	return err
}

func (s *spool) close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.closeFile()
}

// size is the bytes of all files that wait.
func (s *spool) size() (total int64, err error) {
	entries, err := os.ReadDir(s.dir)
	if err != nil {
		return 0, fmt.Errorf("spool of deliveries: %w", err)
	}
	for _, e := range entries {
		if !strings.HasSuffix(e.Name(), spoolSuffix) {
			continue
		}
		info, err := e.Info()
		if errors.Is(err, os.ErrNotExist) {
			continue // drained just now
		}
		if err != nil {
			return 0, fmt.Errorf("spool of deliveries: %w", err)
		}
		total += info.Size()
	}
	return total, nil
}

// run drains whenever there is something, until ctx ends.
func (s *spool) run(ctx context.Context, store func(context.Context, []*call.Delivery) error) {
	for failures := 0; ; {
		n, err := s.drain(ctx, store)
		if ctx.Err() != nil {
			return
		}
		if n > 0 {
			s.logger.Info("spooled deliveries stored", "deliveries", n)
		}
		var again <-chan time.Time
		filled := s.filled
		if err != nil {
			s.logger.Warn("spooled deliveries have to wait", "error", err)
			again, filled = time.After(pause(failures)), nil
			failures++
		} else {
			failures = 0
		}
		select {
		case <-ctx.Done():
			return
		case <-again:
			continue
		case <-filled:
		}
		// The database has just failed.
		select {
		case <-ctx.Done():
			return
		case <-time.After(minPause):
		}
	}
}

// drain stores what is in the files, oldest first, and deletes each when all
// of it is stored. If the process dies in between, the same deliveries come
// again; the store knows them by their UID.
func (s *spool) drain(ctx context.Context, store func(context.Context, []*call.Delivery) error) (stored int, err error) {
	// What is appended from now on goes to a file of its own.
	if err := s.close(); err != nil {
		return 0, fmt.Errorf("spool of deliveries: %w", err)
	}
	names, err := filepath.Glob(filepath.Join(s.dir, "*"+spoolSuffix))
	if err != nil {
		return 0, fmt.Errorf("spool of deliveries: %w", err)
	}
	slices.Sort(names)
	for _, name := range names {
		if s.current(name) {
			continue
		}
		n, err := s.drainFile(ctx, name, store)
		stored += n
		if err != nil {
			return stored, err
		}
	}
	return stored, nil
}

// current reports whether the file is the one that is appended to.
func (s *spool) current(name string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.file != nil && s.file.Name() == name
}

func (s *spool) drainFile(ctx context.Context, name string, store func(context.Context, []*call.Delivery) error) (stored int, err error) {
	f, err := os.Open(name)
	if err != nil {
		return 0, fmt.Errorf("spool of deliveries: %w", err)
	}
	defer func() {
		if closed := f.Close(); err == nil && closed != nil {
			err = fmt.Errorf("spool of deliveries: %w", closed)
		}
	}()
	r := bufio.NewReaderSize(f, 64<<10)
	var batch []*call.Delivery
	bytes, damaged := 0, 0
	for ended := false; !ended; {
		line, err := r.ReadBytes('\n')
		ended = errors.Is(err, io.EOF)
		switch {
		case err != nil && !ended:
			return stored, fmt.Errorf("spool of deliveries: %w", err)
		case ended && len(line) > 0:
			// Never acknowledged: the process died, or the disk was full.
			s.logger.Warn("torn delivery at the end of a spool file", "file", name, "bytes", len(line))
		case !ended:
			d, err := decodeLine(line)
			if err != nil {
				damaged++
				break
			}
			batch, bytes = append(batch, d), bytes+len(line)
		}
		if len(batch) > 0 && (ended || len(batch) == maxBatch || bytes > maxBatchBytes) {
			if err := store(ctx, batch); err != nil {
				return stored, err
			}
			stored += len(batch)
			batch, bytes = nil, 0
		}
	}
	if damaged > 0 {
		s.logger.Error("spool file has lines that cannot be read", "file", name, "lines", damaged)
		err = os.Rename(name, name+damagedSuffix)
	} else {
		err = os.Remove(name)
	}
	if err != nil {
		return stored, fmt.Errorf("spool of deliveries: %w", err)
	}
	return stored, nil
}

func encodeLine(d *call.Delivery) ([]byte, error) {
	text, err := json.Marshal(spooled{d.UID, d.Account, d.ReceivedAt, d.Method, d.ContentType,
		d.Query, d.Body, d.RemoteAddress, d.Source})
	if err != nil {
		return nil, fmt.Errorf("spool delivery %s: %w", d.UID, err)
	}
	line := make([]byte, 0, len(text)+10)
	line = fmt.Appendf(line, "%08x ", crc32.Checksum(text, castagnoli))
	return append(append(line, text...), '\n'), nil
}

func decodeLine(line []byte) (*call.Delivery, error) {
	sum, text, found := bytes.Cut(bytes.TrimSuffix(line, []byte("\n")), []byte(" "))
	if !found || string(sum) != fmt.Sprintf("%08x", crc32.Checksum(text, castagnoli)) {
		return nil, errors.New("check sum does not match")
	}
	var s spooled
	if err := json.Unmarshal(text, &s); err != nil {
		return nil, err
	}
	return &call.Delivery{UID: s.UID, Account: s.Account, ReceivedAt: s.ReceivedAt,
		Method: s.Method, ContentType: s.ContentType, Query: s.Query, Body: s.Body,
		RemoteAddress: s.RemoteAddress, Source: s.Source}, nil
}
