package export

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"callvault/internal/audit"

	"golang.org/x/mod/sumdb/tlog"
)

// Log is the audit log, as an export asks it.
type Log interface {
	AuditHead(ctx context.Context) (audit.Head, error)
	AuditEntries(ctx context.Context, from int64, limit int) ([]audit.Entry, error)
	AuditProof(ctx context.Context, size, seq int64) (tlog.RecordProof, error)
	// AuditAbout returns the places of all entries about one of the subjects,
	// in any order.
	AuditAbout(ctx context.Context, subjects []string) ([]int64, error)
}

// manifest says what a bundle is. Its files and what is missing stand beside
// it, one a line, so that neither maker nor checker must hold them all.
type manifest struct {
	Format  string    `json:"format"`
	ID      string    `json:"id"`
	AsOf    time.Time `json:"as_of"`
	MadeAt  time.Time `json:"made_at"`
	Program string    `json:"program"`
	Request
	Counts  counts   `json:"counts"`
	LeftOut []string `json:"left_out,omitempty"`
	// Head is the audit log's sealed head, to which the proofs of custody
	// lead.
	Head string `json:"head"`
	// Key is the public half of the key that seals and signs.
	Key string `json:"key"`
}

type counts struct {
	Calls      int `json:"calls"`
	Recordings int `json:"recordings"`
	Missing    int `json:"missing"`
	Altered    int `json:"altered"`
	Unproved   int `json:"unproved,omitempty"`
	Custody    int `json:"custody"`
}

// sealed is the head of the log that the proofs of custody lead to, and how many
// entries there are.
type sealed struct {
	note    string
	entries int
}

// addCustody adds what the audit log has of the calls and recordings.
func (m *maker) addCustody(ctx context.Context) (sealed, error) {
	head, err := m.Log.AuditHead(ctx)
	if err != nil {
		return sealed{}, err
	}
	seal, err := m.Key.SignHead(head, m.Now(), time.Time{})
	if err != nil {
		return sealed{}, err
	}
	custody, err := m.custody(ctx, head)
	if err != nil {
		return sealed{}, err
	}
	err = m.addFile(CustodyFile, func(w io.Writer) error { return m.writeCustody(ctx, w, head, custody) })
	return sealed{seal.Note, len(custody)}, err
}

// addEvidence adds what proves the rest: sums, manifest, signature.
func (m *maker) addEvidence(s sealed) error {
	if err := m.addFile(SumsFile, m.writeSums); err != nil {
		return err
	}
	about := manifest{
		Format: Format, ID: m.plan.ID, AsOf: m.plan.AsOf, MadeAt: m.Now().UTC().Truncate(time.Second), Program: m.Program, Request: m.plan.Request,
		Counts:  counts{m.result.Calls, m.result.Recordings, m.result.Missing, m.result.Altered, m.result.Unproved, s.entries},
		LeftOut: m.leftOut(), Head: s.note, Key: m.Key.Verifier(),
	}
	made, err := m.put(ManifestFile, func(w io.Writer) error { return m.writeManifest(w, about) })
	if err != nil {
		return err
	}
	m.result.ManifestSHA256 = made.SHA256
	signature, err := m.Key.Sign(signedText(made.SHA256, made.Size))
	if err != nil {
		return err
	}
	_, err = m.put(SignatureFile, func(w io.Writer) error {
		_, err := io.WriteString(w, signature)
		return err
	})
	return err
}

// signedText is what the note says that signs a manifest.
func signedText(sha256 string, size int64) string {
	return fmt.Sprintf("%s\n%s\n%d bytes, sha256 %s\n", Format, ManifestFile, size, sha256)
}

// subjectsAtOnce is for how many calls and recordings the log is asked at once.
const subjectsAtOnce = 200

// custody finds the entries about the calls and recordings of the plan.
func (m *maker) custody(ctx context.Context, head audit.Head) ([]int64, error) {
	var found []int64
	var subjects []string
	ask := func() error {
		seqs, err := m.Log.AuditAbout(ctx, subjects)
		found, subjects = append(found, seqs...), subjects[:0]
		return err
	}
	err := m.eachCall(func(c *callLine, _ []missing) error {
		subjects = append(subjects, "call/"+c.ID)
		for _, r := range c.Recordings {
			subjects = append(subjects, "recording/"+r.ID)
		}
		if len(subjects) < subjectsAtOnce {
			return nil
		}
		return ask()
	})
	if err == nil && len(subjects) > 0 {
		err = ask()
	}
	slices.Sort(found)
	found = slices.Compact(found)
	// What was written since the head was read is not in its tree.
	return found[:first(found, func(seq int64) bool { return seq >= head.Size })], err
}

// first is the index of the first element that is so, len(s) if none is.
func first(s []int64, is func(int64) bool) int {
	if i := slices.IndexFunc(s, is); i >= 0 {
		return i
	}
	return len(s)
}

func (m *maker) writeCustody(ctx context.Context, w io.Writer, head audit.Head, seqs []int64) error {
	m.logged = map[string]string{}
	e := json.NewEncoder(w)
	e.SetEscapeHTML(false) // what is escaped in an entry stays so
	for _, seq := range seqs {
		entries, err := m.Log.AuditEntries(ctx, seq, 1)
		if err != nil {
			return err
		}
		if len(entries) != 1 || entries[0].Seq != seq {
			return fmt.Errorf("entry %d of the audit log is not there", seq)
		}
		if id, sum, ok := archivedAs(&entries[0]); ok {
			m.logged[id] = sum
		}
		record, err := entries[0].Record()
		if err != nil {
			return err
		}
		proof, err := m.Log.AuditProof(ctx, head.Size, seq)
		if err != nil {
			return err
		}
		line := custodyLine{Entry: record, Proof: make([]string, len(proof))}
		for i, h := range proof {
			line.Proof[i] = h.String()
		}
		if err := e.Encode(line); err != nil {
			return err
		}
	}
	return nil
}

// archivedAs is which recording an entry says was archived, and with which
// SHA-256; false if it speaks of something else.
func archivedAs(e *audit.Entry) (id, sum string, ok bool) {
	id, ok = strings.CutPrefix(e.Subject, "recording/")
	if !ok || e.Action != audit.RecordingArchived {
		return "", "", false
	}
	var facts audit.RecordingFacts
	if json.Unmarshal(e.Facts, &facts) != nil || facts.SHA256 == "" {
		return "", "", false
	}
	return id, facts.SHA256, true
}

// eachFile calls do for every file that has been added, in the ZIP's order.
func (m *maker) eachFile(do func(*file) error) error {
	err := m.eachOutcome(func(o *outcome) error {
		if o.File == nil {
			return nil
		}
		return do(&o.File.file)
	})
	for i := range m.tail {
		if err == nil {
			err = do(&m.tail[i].file)
		}
	}
	return err
}

// writeSums writes what sha256sum -c reads. No path needs to be escaped.
func (m *maker) writeSums(w io.Writer) error {
	return m.eachFile(func(f *file) error {
		_, err := fmt.Fprintf(w, "%s  %s\n", f.SHA256, f.Path)
		return err
	})
}

// The lines of a manifest that are not an object of their own.
const (
	manifestOpens  = `{"bundle":`
	manifestFiles  = `"files":[`
	manifestLacks  = `"missing":[`
	manifestCloses = `]}`
)

// writeManifest writes a JSON object with one file, or one thing that is
// missing, a line.
func (m *maker) writeManifest(w io.Writer, about manifest) error {
	head, err := encode(about)
	if err != nil {
		return err
	}
	if _, err := fmt.Fprintf(w, "%s%s,\n%s\n", manifestOpens, head, manifestFiles); err != nil {
		return err
	}
	list := lister{w: w}
	if err := m.eachFile(func(f *file) error { return list.add(f) }); err != nil {
		return err
	}
	if _, err := fmt.Fprintf(w, "\n],\n%s\n", manifestLacks); err != nil {
		return err
	}
	list = lister{w: w}
	if err := m.eachMissing(func(l missing) error { return list.add(l) }); err != nil {
		return err
	}
	_, err = fmt.Fprintf(w, "\n%s\n", manifestCloses)
	return err
}

// lister writes the elements of a JSON list, one a line.
type lister struct {
	w     io.Writer
	began bool
}

func (l *lister) add(v any) error {
	text, err := encode(v)
	if err != nil {
		return err
	}
	if l.began {
		text = ",\n" + text
	}
	l.began = true
	_, err = io.WriteString(l.w, text)
	return err
}

func encode(v any) (string, error) {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	err := e.Encode(v)
	return strings.TrimSuffix(b.String(), "\n"), err
}
