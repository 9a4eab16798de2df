package export

import (
	"bufio"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"path/filepath"
	"time"

	"callvault/internal/call"

	"github.com/google/uuid"
)

// Bounds of dealing with the vault.
const (
	// audioTime is what one recording may take, however large: a vault that
	// gives a byte now and then must not hold up an export for ever.
	audioTime = 15 * time.Minute
	// audioTries is how often a recording is tried that the vault does not
	// give, with pauses of audioPause, twice as long each time.
	audioTries = 3
	audioPause = 500 * time.Millisecond
	// mostFaults recordings in a row that the vault does not give are the
	// vault's fault, and the export is gone on with later.
	mostFaults = 5
)

// maker makes one bundle.
type maker struct {
	Options
	id     string
	plan   plan
	zip    *writer
	done   *os.File
	result Result
	// faults in a row, of the vault.
	faults int
	tail   []stored
	// logged is with which SHA-256 the audit log says that recordings were
	// archived, by their ids.
	logged map[string]string
	// lost are deliveries that were there when the calls were copied.
	lost []int64
}

func (m *maker) path(name string) string { return filepath.Join(m.Dir, name) }

// Make makes a bundle in the work folder, or goes on with the one that an
// earlier try for the same request has left there. A disk that is full is told
// in plain words. What it has made so far stays in the folder after an error.
func Make(ctx context.Context, o Options) (Result, error) {
	m := &maker{Options: o, id: cmp.Or(o.ID, uuid.NewString())}
	if err := o.Request.Check(); err != nil {
		return Result{}, err
	}
	if err := m.make(ctx); err != nil {
		if full(err) {
			return Result{}, fmt.Errorf("make the bundle: the disk of %s is full: %w", o.Dir, err)
		}
		return Result{}, fmt.Errorf("make the bundle: %w", err)
	}
	return m.result, nil
}

func (m *maker) make(ctx context.Context) (err error) {
	if err := os.MkdirAll(m.Dir, 0o700); err != nil {
		return err
	}
	if err := m.makePlan(ctx); err != nil {
		return err
	}
	if !m.plan.Request.Same(m.Request) {
		return call.Errorf(call.Conflict, "the work folder %s holds another export", m.Dir)
	}
	have, err := m.open()
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, m.zip.file.Close(), m.done.Close()) }()
	if err := m.copyAudio(ctx, have); err != nil {
		return err
	}
	if err := m.addTables(ctx); err != nil {
		return err
	}
	seal, err := m.addCustody(ctx)
	if err != nil {
		return err
	}
	if err := m.addMissing(); err != nil {
		return err
	}
	if err := m.addEvidence(seal); err != nil {
		return err
	}
	if m.result.Size, err = m.zip.finish(); err != nil {
		return err
	}
	m.result.ID, m.result.File = m.plan.ID, m.path(zipFile)
	return nil
}

// open opens the ZIP and what is written down of it, cuts both back to what is
// sound, and returns how many recordings are dealt with.
func (m *maker) open() (have int, err error) {
	var sound int
	m.zip, sound, err = openWriter(m.path(zipFile), func(do func(*stored) error) error {
		return m.eachOutcome(func(o *outcome) error {
			if o.File == nil {
				return nil
			}
			return do(o.File)
		})
	})
	if err != nil {
		return 0, err
	}
	// What the vault did not give last is asked for again: that it gave nothing
	// may have been why the export ended.
	settled, n := 0, 0
	err = m.eachOutcome(func(o *outcome) error {
		if n++; o.Missing == nil || o.Missing.Why != whyVault {
			settled = n
		}
		return nil
	})
	if err != nil {
		return 0, errors.Join(err, m.zip.file.Close())
	}
	// Written anew, without what is torn or tells of what was cut off.
	err = create(m.path(doneFile), func(w io.Writer) error {
		e := json.NewEncoder(w)
		err := m.eachOutcome(func(o *outcome) error {
			if have == settled || o.File != nil && sound == 0 {
				return errEnough
			}
			if o.File != nil {
				sound--
			}
			have++
			m.count(o)
			return e.Encode(o)
		})
		if errors.Is(err, errEnough) {
			return nil
		}
		return err
	})
	if err == nil {
		m.done, err = os.OpenFile(m.path(doneFile), os.O_WRONLY|os.O_APPEND, 0o600)
	}
	if err != nil {
		return 0, errors.Join(err, m.zip.file.Close())
	}
	return have, nil
}

// count adds up what became of a recording.
func (m *maker) count(o *outcome) {
	switch {
	case o.Missing == nil:
		m.result.Recordings++
	case o.File != nil:
		m.result.Missing++
		m.result.Altered++
	default:
		m.result.Missing++
	}
}

// copyAudio deals with all recordings of the plan but the first have.
func (m *maker) copyAudio(ctx context.Context, have int) error {
	n := 0
	for c, err := range lines[callLine](m.path(planCalls)) {
		if err != nil {
			return err
		}
		for i := range c.Recordings {
			if n++; n <= have {
				continue
			}
			if err := m.copyOne(ctx, &c, &c.Recordings[i]); err != nil {
				return err
			}
			if m.Progress != nil {
				m.Progress(n, m.plan.Recordings)
			}
		}
	}
	return nil
}

// copyOne deals with one recording and writes down what became of it, after its
// audio is in the ZIP.
func (m *maker) copyOne(ctx context.Context, c *callLine, r *recordingLine) error {
	o, err := m.deal(ctx, c, r)
	if err != nil {
		return err
	}
	if o.File != nil {
		if err := m.addPiece(o.File); err != nil {
			return err
		}
	}
	line, err := json.Marshal(o)
	if err != nil {
		return err
	}
	m.count(&o)
	_, err = m.done.Write(append(line, '\n'))
	return err
}

// deal finds out what becomes of one recording. Its audio, if it has any, is
// the piece.
func (m *maker) deal(ctx context.Context, c *callLine, r *recordingLine) (outcome, error) {
	lacks := func(why, what string) outcome {
		return outcome{Missing: &missing{Kind: "recording", ID: r.ID, Call: c.ID, Why: why, What: what}}
	}
	if r.State != call.Archived {
		return lacks(string(r.State), stateSentence(r)), nil
	}
	sum, err := m.fetch(ctx, r.ObjectKey)
	switch {
	case ctx.Err() != nil:
		return outcome{}, ctx.Err()
	case errors.Is(err, errSpool):
		return outcome{}, err
	case err != nil && m.Vault.Gone(err):
		m.faults = 0
		return m.gone(ctx, r, lacks)
	case err != nil:
		m.Logger.WarnContext(ctx, "a recording could not be read for an export", "recording", r.ID, "error", err)
		if m.faults++; m.faults >= mostFaults {
			return outcome{}, fmt.Errorf("the vault does not give recordings, %d in a row; what is copied so far is kept: %w", m.faults, err)
		}
		return lacks(whyVault, "The vault did not give it; the log of the program that made the bundle has the reason. Export it again."), nil
	}
	m.faults = 0
	s := &stored{
		file:  file{Path: path.Join(audioFolder, r.File), Size: sum.n, SHA256: sum.hex(), Call: c.ID, Recording: r.ID, MediaType: r.MediaType},
		CRC32: sum.crc.Sum32(), Modified: m.plan.AsOf,
	}
	if c.StartedAt != nil {
		s.Modified = c.StartedAt.Truncate(time.Second)
	}
	o := outcome{File: s}
	if s.SHA256 != r.SHA256 || s.Size != r.Size {
		// The bytes may still be of use, but never as what they are not.
		s.Path, s.Archived = path.Join(alteredFolder, r.File), r.SHA256
		o.Missing = lacks(whyAltered, fmt.Sprintf("What lies in the vault is not what was archived: %d bytes with SHA-256 %s were, %d bytes with %s are. The bytes are in %s, and are no evidence of the call.",
			r.Size, r.SHA256, s.Size, s.SHA256, s.Path)).Missing
	}
	return o, nil
}

// gone says why an object is not there that the plan has. It may have gone
// since, as it should.
func (m *maker) gone(ctx context.Context, r *recordingLine, lacks func(why, what string) outcome) (outcome, error) {
	now, err := m.Store.Recording(ctx, r.ID)
	if err != nil && call.CodeOf(err) != call.NotFound {
		return outcome{}, err
	}
	if err == nil && now.State != call.Archived {
		return lacks(string(now.State), "It went while the bundle was made: "+stateSentence(&recordingLine{State: now.State, Reason: now.Reason})), nil
	}
	return lacks(whyNoObject, "It was archived, and is not in the vault. This is a fault: verify says more."), nil
}

// stateSentence says what the state of a recording without audio means.
func stateSentence(r *recordingLine) string {
	text := ""
	switch r.State {
	case call.Pending:
		text = "It was not archived yet, and was still being asked for."
	case call.Absent:
		text = "The provider did not offer it within the waiting time."
	case call.Refused:
		text = "It was offered and not taken."
	case call.Expired:
		text = "It was deleted because its retention was over."
	case call.Erased:
		text = "It was erased on request."
	case call.Archived:
	}
	if r.Reason != "" {
		text += " (" + r.Reason + ")"
	}
	return text
}

// errSpool says that the work folder's disk failed, not the vault.
var errSpool = errors.New("work folder")

// fetch reads an object into the piece, and hashes it on the way.
func (m *maker) fetch(ctx context.Context, key string) (sum *digest, err error) {
	pause := audioPause
	for try := 1; ; try++ {
		sum, err = m.fetchOnce(ctx, key)
		if err == nil || try == audioTries || ctx.Err() != nil || errors.Is(err, errSpool) || m.Vault.Gone(err) {
			return sum, err
		}
		timer := time.NewTimer(pause)
		select {
		case <-ctx.Done():
			timer.Stop()
			return nil, ctx.Err()
		case <-timer.C:
		}
		pause *= 2
	}
}

func (m *maker) fetchOnce(ctx context.Context, key string) (_ *digest, err error) {
	ctx, cancel := context.WithTimeout(ctx, audioTime)
	defer cancel()
	body, err := m.Vault.Open(ctx, key)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, body.Close()) }()
	return m.writePiece(func(w io.Writer) error {
		_, err := io.Copy(w, body)
		return err
	})
}

// writePiece writes what comes next into the ZIP: its hashes stand in front of
// it there.
func (m *maker) writePiece(write func(io.Writer) error) (sum *digest, err error) {
	f, err := os.OpenFile(m.path(pieceFile), os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o600)
	if err != nil {
		return nil, errors.Join(errSpool, err)
	}
	sum = newDigest()
	out := bufio.NewWriterSize(spoolWriter{io.MultiWriter(f, sum)}, 256<<10)
	err = errors.Join(write(out), out.Flush())
	if e := f.Close(); e != nil {
		err = errors.Join(err, errSpool, e)
	}
	return sum, err
}

// spoolWriter marks errors of writing.
type spoolWriter struct{ w io.Writer }

func (s spoolWriter) Write(p []byte) (int, error) {
	n, err := s.w.Write(p)
	if err != nil {
		err = errors.Join(errSpool, err)
	}
	return n, err
}

// addPiece adds the piece to the ZIP.
func (m *maker) addPiece(s *stored) (err error) {
	f, err := os.Open(m.path(pieceFile))
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	return m.zip.add(s, f)
}

// addFile writes a file of the bundle's top, which the manifest will list.
func (m *maker) addFile(name string, write func(io.Writer) error) error {
	s, err := m.put(name, write)
	if err == nil {
		m.tail = append(m.tail, *s)
	}
	return err
}

func (m *maker) put(name string, write func(io.Writer) error) (*stored, error) {
	sum, err := m.writePiece(write)
	if err != nil {
		return nil, fmt.Errorf("write %s: %w", name, err)
	}
	s := &stored{file: file{Path: name, Size: sum.n, SHA256: sum.hex()}, CRC32: sum.crc.Sum32(), Modified: m.plan.AsOf}
	return s, m.addPiece(s)
}
