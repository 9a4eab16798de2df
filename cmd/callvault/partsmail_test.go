package main

import (
	"archive/zip"
	"bytes"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"callvault/internal/testenv"

	"github.com/google/go-cmp/cmp"
)

// TestPartsByMail mails a report, and one with pseudonyms, through a mail server
// to people who see all and to people who see their groups: nothing that a
// mail says or carries, in text, pages, tables or anywhere in a workbook, is of
// a call of another group.
func TestPartsByMail(t *testing.T) {
	t.Parallel()
	groups := []string{"North", "South", "East"}
	people := []string{"Asha Rao", "Babu Nair", "Chitra Iyer"}
	smtp := testenv.SMTP(t, testenv.SMTPOptions{})
	in := install(t, storage{}, anySize(), fmt.Sprintf(`reports:
  - name: daily
    recipients:
      - all@example.org
      - {address: north@example.org, match: {group: North}}
      - {address: two@example.org, match: {group: [South, North]}}
  - name: hidden
    mask_numbers: true
    recipients:
      - all.hidden@example.org
      - {address: north.hidden@example.org, match: {group: North}}
mail: {smtp: %q, ca_file: %q, from: reports@example.org}
`, smtp.URL(), smtp.CAFile))
	number := func(group, i int) string { return fmt.Sprintf("98123%d456%d", group, i) }
	var lines strings.Builder
	for group, name := range groups {
		for i, status := range []string{"ANSWER", "NOANSWER", "CANCEL"} {
			fmt.Fprintf(&lines, `{"type":"call_report","CallSid":"77%d.%d","Status":"%s","TalkDuration":"30","SourceNumber":"+91%s","receiver_name":"%s","call_group":"%s","campid":"plan-%[6]s","StartTime":"2026-11-20 10:0%[1]d:0%[2]d","EndTime":"2026-11-20 10:09:00","Direction":"IVR"}`+"\n",
				group, i, status, number(group, i), people[group], name)
		}
	}
	file := filepath.Join(t.TempDir(), "calls.jsonl")
	if err := os.WriteFile(file, []byte(lines.String()), 0o600); err != nil {
		t.Fatal(err)
	}
	if got := commandJSON[imported](t, "import", file, "--account", "sales", "--data", in.data); got.Recorded != 9 {
		t.Fatalf("imported: %+v", got)
	}
	for range 2 { // the second time nobody gets it again
		for _, report := range []string{"daily", "hidden"} {
			commandJSON[struct{}](t, "report", report, "--date", "2026-11-20", "--send", "--out", "", "--data", in.data)
		}
	}
	sees := map[string][]bool{
		"all@example.org": {true, true, true}, "north@example.org": {true, false, false}, "two@example.org": {true, true, false},
		"all.hidden@example.org": {true, true, true}, "north.hidden@example.org": {true, false, false},
	}
	pseudonyms := make(map[string][]string) // of North's callers, by recipient
	for _, m := range smtp.Messages() {
		to := m.To[0]
		visible, ok := sees[to]
		if !ok || len(m.To) != 1 {
			t.Errorf("a mail to %s, once too often or by nobody's wish", m.To)
			continue
		}
		delete(sees, to)
		masked := strings.Contains(to, "hidden")
		header, parts := testenv.ReadMail(t, m.Data)
		texts := unpacked(t, parts)
		texts["subject"] = header.Get("Subject")
		files, inBook := 0, make([]bool, len(groups))
		for name, text := range texts {
			for group := range groups {
				inBook[group] = inBook[group] || strings.Contains(name, ".xlsx/") && strings.Contains(text, people[group])
				for i := range 3 {
					if strings.Contains(text, number(group, i)) && (masked || !visible[group]) {
						t.Errorf("%s: %s has the number %s of %s", to, name, number(group, i), groups[group])
					}
				}
				for _, word := range []string{groups[group], people[group], fmt.Sprintf("77%d.", group)} {
					if strings.Contains(text, word) && !visible[group] {
						t.Errorf("%s: %s tells of %q", to, name, word)
					}
				}
			}
			// What they are to see is there.
			if !strings.HasSuffix(name, "-calls.csv") {
				continue
			}
			files++
			for group, name := range groups {
				if n := strings.Count(text, people[group]); visible[group] && n != 3 {
					t.Errorf("%s: %d calls of %s", to, n, name)
				}
				if shown := strings.Contains(text, number(group, 1)); shown != (visible[group] && !masked) {
					t.Errorf("%s: shown numbers of %s: %t", to, name, shown)
				}
			}
			for line := range strings.Lines(text) {
				if strings.Contains(line, people[0]) {
					pseudonyms[to] = append(pseudonyms[to], regexp.MustCompile(`C-\w+`).FindString(line))
				}
			}
		}
		if diff := cmp.Diff(visible, inBook); diff != "" {
			t.Errorf("%s: whose calls the workbook has (-want +got): %s", to, diff)
		}
		if files != 1 || len(parts["text/plain"]) == 0 || len(parts["text/html"]) == 0 {
			t.Errorf("%s gets %d tables of calls, texts of %d and %d bytes", to, files, len(parts["text/plain"]), len(parts["text/html"]))
		}
	}
	for to := range sees {
		t.Errorf("no mail to %s", to)
	}
	all, north := pseudonyms["all.hidden@example.org"], pseudonyms["north.hidden@example.org"]
	if diff := cmp.Diff(all, north); diff != "" || len(all) != 3 || all[0] == "" || all[0] == all[1] || all[1] == all[2] {
		t.Errorf("callers are called %v and %v", all, north)
	}
}

// unpacked are a mail's parts as text; of a workbook all that is packed in it.
func unpacked(t *testing.T, parts map[string][]byte) map[string]string {
	t.Helper()
	texts := make(map[string]string)
	for name, content := range parts {
		if !strings.HasSuffix(name, ".xlsx") {
			texts[name] = string(content)
			continue
		}
		book, err := zip.NewReader(bytes.NewReader(content), int64(len(content)))
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range book.File {
			r, err := f.Open()
			if err != nil {
				t.Fatal(err)
			}
			text, err := io.ReadAll(r)
			if err != nil {
				t.Fatal(err)
			}
			if err := r.Close(); err != nil {
				t.Fatal(err)
			}
			texts[name+"/"+f.Name] = string(text)
		}
	}
	return texts
}
