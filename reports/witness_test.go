package reports

import (
	"context"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"callvault/internal/audit"
	"callvault/internal/call"

	"github.com/xuri/excelize/v2"
	"golang.org/x/mod/sumdb/tlog"
)

// witness seals a log that is as it is.
type witness struct {
	key *audit.Key
	err error
}

func (w witness) Seal(context.Context) (audit.Seal, error) {
	if w.err != nil {
		return audit.Seal{}, w.err
	}
	return w.key.SignHead(audit.Head{Size: 12345, Hash: tlog.RecordHash(nil)}, time.Date(2026, 11, 22, 1, 29, 0, 0, time.UTC), time.Time{})
}

func (w witness) Fingerprint() string { return w.key.Fingerprint() }

// sealed freezes, builds and writes a report, and returns its definitions by
// their words, and the two forms of its mail.
func sealed(t *testing.T, w Witness) (words map[string]string, text, html string) {
	t.Helper()
	report := Report{Name: "daily", Schedule: "0 7 * * *", Zone: kolkata, Period: Day, Formats: []Format{XLSX}}
	r, err := New(Options{Store: bigDay{calls: 10}, Reports: []Report{report}, Witness: w, Version: "test",
		Now: func() time.Time { return time.Date(2026, 11, 22, 1, 30, 0, 0, time.UTC) },
		Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	path := filepath.Join(dir, inputName)
	if _, err := r.freeze(t.Context(), &report, report.PeriodOf(time.Date(2026, 11, 21, 0, 0, 0, 0, time.UTC)), 1, path); err != nil {
		t.Fatal(err)
	}
	// All that is printed comes from the frozen input.
	in, err := OpenInput(t.Context(), path)
	if err != nil {
		t.Fatal(err)
	}
	files, figures, err := BuildFiles(t.Context(), in, dir)
	if err != nil {
		t.Fatal(err)
	}
	mails, err := r.writeMail(call.Run{ID: "run-1"}, &built{input: in, files: files, figures: figures}, dir)
	if err != nil {
		t.Fatal(err)
	}
	book, err := excelize.OpenFile(files[0].Path)
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := book.Close(); err != nil {
			t.Error(err)
		}
	}()
	rows, err := book.GetRows("Definitions")
	if err != nil {
		t.Fatal(err)
	}
	words = make(map[string]string)
	for _, row := range rows {
		if len(row) >= 2 {
			words[row[0]] = row[1]
		}
	}
	var read [2][]byte
	for i := range read { // the pictures follow
		if read[i], err = os.ReadFile(mails[i].Path); err != nil {
			t.Fatal(err)
		}
	}
	return words, string(read[0]), string(read[1])
}

// TestReportsPrintTheLogsHead: the signed head is in the workbook and in both
// forms of the mail, whole: what stands there can be checked with the key's
// public half alone.
func TestReportsPrintTheLogsHead(t *testing.T) {
	t.Parallel()
	text, err := audit.NewKey()
	if err != nil {
		t.Fatal(err)
	}
	key, err := audit.ReadKey(text)
	if err != nil {
		t.Fatal(err)
	}
	words, plain, html := sealed(t, witness{key: key})
	seal, err := audit.OpenSeal(words["Signed log head"]+"\n", key.Verifier())
	if err != nil || seal.Size != 12345 {
		t.Errorf("the workbook's head is %q: %v", words["Signed log head"], err)
	}
	if words["Fingerprint of the log's key"] != key.Fingerprint() || !strings.HasPrefix(words["Audit log"], "12,345 entries, root hash "+seal.Hash.String()) {
		t.Errorf("definitions are %v", words)
	}
	for line := range strings.SplitSeq(strings.TrimSpace(seal.Note), "\n") {
		if !strings.Contains(plain, "  "+line+"\n") {
			t.Errorf("the mail's text lacks %q", line)
		}
		// html/template writes a + as an entity.
		if line = strings.ReplaceAll(line, "+", "&#43;"); !strings.Contains(html, line) {
			t.Errorf("the mail's HTML lacks %q", line)
		}
	}
	for form, mail := range map[string]string{"text": plain, "HTML": html} {
		if !strings.Contains(mail, key.Fingerprint()) {
			t.Errorf("the mail's %s lacks the fingerprint", form)
		}
	}
}

// TestReportsWithoutSeal: a log that cannot be sealed keeps no report back, and
// the report says so.
func TestReportsWithoutSeal(t *testing.T) {
	t.Parallel()
	for name, w := range map[string]Witness{"none": nil, "no vault": witness{err: errors.New("no vault")}} {
		words, plain, html := sealed(t, w)
		if words["Audit log"] != notSealed || words["Signed log head"] != notAvailable || !strings.Contains(plain, notSealed) || !strings.Contains(html, notSealed) {
			t.Errorf("%s: definitions are %v", name, words)
		}
	}
}
