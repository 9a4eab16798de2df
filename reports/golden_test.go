package reports

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"callvault/internal/call"
)

// update writes the golden files anew, to be read before they are committed:
// go test ./reports -run Golden -update.
var update = flag.Bool("update", false, "write the golden files anew")

// goldenInput is a day that fills every sheet: the busy day with campaigns, calls
// outside permitted hours, and earlier days to compare it with.
func goldenInput(t *testing.T) *Input {
	t.Helper()
	o := busyOffice(t)
	for i := range o.store.calls {
		c := &o.store.calls[i]
		c.Campaign = map[string]string{"first": "spring", "fifth": "spring", "third": "click-1", "sixth": "click-2"}[c.ID]
	}
	for i, day := range []string{"2026-10-24", "2026-10-31", "2026-11-07", "2026-11-14", "2026-11-20"} {
		for j, account := range []string{"sales", "support", "sales"} {
			for k, outcome := range []call.Outcome{call.Answered, call.Missed, call.Abandoned, call.Answered} {
				c := call.Call{ID: fmt.Sprint(day, account, j, k), Account: account, Direction: call.Inbound, Outcome: outcome,
					WaitSeconds: new(4*i + 3*k), StartedAt: at(day + " 11:00:00")}
				if outcome == call.Answered {
					c.TalkSeconds = new(60 + 10*i)
				}
				if j == 2 {
					c.Direction = call.Outbound
				}
				o.store.calls = append(o.store.calls, call.CallWithRecordings{Call: c})
			}
		}
	}
	o.store.missing[1].Return = call.Return{Account: "support", Direction: call.Outbound, Agent: call.Agent{Number: "+919311100000", Name: "Bela"}}
	report := dailyReport()
	report.PermittedHours = []PermittedHours{{Campaign: "spring", Hours: hours(t, "mon-fri 09:00-19:00")}, {Hours: hours(t, "daily 09:00-19:00")}}
	return o.inputOf(t, report)
}

// TestGoldenCells: all cells of all sheets of a fixed day, in the workbook as it
// is written. Read the differences before they are taken for right.
func TestGoldenCells(t *testing.T) {
	t.Parallel()
	book, err := openBookParts(filepath.Join(buildBusy(t, goldenInput(t)), "daily-2026-11-21.xlsx"), math.MaxInt64)
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := book.zip.Close(); err != nil {
			t.Error(err)
		}
	}()
	st, err := reportStyles()
	if err != nil {
		t.Fatal(err)
	}
	var b strings.Builder
	for _, s := range book.sheets {
		sheet, err := book.open(s)
		if err != nil {
			t.Fatal(err)
		}
		for err = sheet.next(); err == nil; err = sheet.next() {
			for _, c := range sheet.cells {
				value := fmt.Sprintf("%q", c.value)
				if c.kind == numberCell {
					value = c.value + " shown as " + c.show(c.style, st)
				}
				if c.formula != "" {
					value = "=" + c.formula
				}
				fmt.Fprintf(&b, "%s!%s%d %s\n", s.Name, columnName(c.column), sheet.row, value)
			}
		}
		if !errors.Is(err, io.EOF) {
			t.Fatal(err)
		}
		if err := sheet.body.Close(); err != nil {
			t.Fatal(err)
		}
	}
	const path = "testdata/cells.golden.txt"
	if *update {
		if err := os.WriteFile(path, []byte(b.String()), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	golden, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(strings.Split(string(golden), "\n"), strings.Split(b.String(), "\n")); diff != "" {
		t.Errorf("cells (-golden +got); -update writes them anew:\n%s", diff)
	}
}
