package webhook

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
	"unicode"

	"github.com/google/go-cmp/cmp"

	"callvault/internal/call"
)

// notebook is a DriftStore that keeps what it is told.
type notebook struct {
	mu      sync.Mutex
	notes   []call.Sightings
	noted   chan struct{}
	drift   []call.Drift
	failure error
}

func (n *notebook) NoteSightings(_ context.Context, seen call.Sightings) ([]call.Drift, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.failure != nil {
		return nil, n.failure
	}
	n.notes = append(n.notes, seen)
	if n.noted != nil {
		close(n.noted)
		n.noted = nil
	}
	return n.drift, nil
}

// lines are the traits that were noted, sorted, each with the number of its
// reports.
func (n *notebook) lines() []string {
	n.mu.Lock()
	defer n.mu.Unlock()
	sums := make(map[string]int64)
	for _, seen := range n.notes {
		for _, s := range seen.Traits {
			known := ""
			if s.Documented {
				known = " documented"
			}
			sums[fmt.Sprintf("%s %s: %s %s %s%s", seen.Account, seen.Report, s.Aspect, s.Name, s.Type, known)] += s.Reports
		}
	}
	var lines []string
	for line, reports := range sums {
		lines = append(lines, fmt.Sprintf("%s x%d", line, reports))
	}
	slices.Sort(lines)
	return lines
}

func newTestWatch(tb testing.TB, store DriftStore, found func(call.Drift), logger *slog.Logger) (*DriftWatch, *Decoder) {
	tb.Helper()
	w := NewDriftWatch(DriftOptions{Accounts: testAccounts(), Store: store, Now: now, Logger: logger, Found: found})
	d, err := NewDecoder(testAccounts(), Hooks{Watch: w})
	if err != nil {
		tb.Fatal(err)
	}
	return w, d
}

func show(d *Decoder, account, query, body string) {
	d.Decode(&call.Delivery{Account: account, Method: "POST", Query: query, Body: []byte(body),
		Source: call.SourceWebhook, ReceivedAt: testReceivedAt})
}

func TestWatchNotesWhatReportsHave(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name, account, query string
		bodies               []string
		want                 []string
	}{
		{"documented fields and words", "sales", "", []string{`{"CallSid":"1","Status":"ANSWER","EndTime":"2023-01-02 14:32:54"}`},
			[]string{
				"sales report: field CallSid string documented x1",
				"sales report: field EndTime string documented x1",
				"sales report: status ANSWER known documented x1",
				"sales report: field Status string documented x1",
			}},
		{"the same, in another order, counts", "support", "",
			[]string{`{"type":"cdr","cmiuuid":"1"}`, `{"cmiuuid":"2","type":"cdr"}`, `{"cmiuuid":"3","type":"cdr"}`},
			[]string{"support report: field cmiuuid string documented x3", "support report: field type string documented x3"}},
		{"new fields of every type", "support", "",
			[]string{`{"cmiuuid":"1","type":"cdr","a":1,"b":-0.5,"c":true,"d":false,"e":{"x":1},"f":[1],"g":null,"h":"","i":"x"}`},
			[]string{
				"support report: field cmiuuid string documented x1",
				"support report: field type string documented x1",
				"support report: field a number x1", "support report: field b number x1",
				"support report: field c boolean x1", "support report: field d boolean x1",
				"support report: field e object x1", "support report: field f array x1",
				"support report: field i string x1",
			}},
		{"another type of a documented field", "support", "", []string{`{"cmiuuid":"1","type":"cdr","answeredsec":"11"}`},
			[]string{
				"support report: field cmiuuid string documented x1",
				"support report: field type string documented x1",
				"support report: field answeredsec string x1",
			}},
		{"a query has no types", "support", "cmiuuid=1&type=cdr&answeredsec=11&new=1", []string{""},
			[]string{
				"support report: field cmiuuid text documented x1",
				"support report: field type text documented x1",
				"support report: field answeredsec text documented x1",
				"support report: field new text x1",
			}},
		{"words that are not known, of reports and live events", "support", "",
			[]string{`{"cmiuuid":"1","type":"cdr","status":"amazed"}`, `{"cmiuuid":"1","type":"event","status":"humming"}`},
			[]string{
				"support report: field cmiuuid string documented x1",
				"support report: field status string documented x1",
				"support report: field type string documented x1",
				"support report: status amazed unknown x1",
				"support live: field cmiuuid string documented x1",
				"support live: field status string documented x1",
				"support live: field type string documented x1",
				"support live: status humming unknown x1",
			}},
		{"a word that the times contradict", "sales", "",
			[]string{`{"CallSid":"1","Status":"NOANSWER","TalkDuration":"3","LegB_Picked_time":"2023-01-02 14:32:54"}`},
			[]string{
				"sales report: field CallSid string documented x1",
				"sales report: field LegB_Picked_time string documented x1",
				"sales report: field Status string documented x1",
				"sales report: field TalkDuration string documented x1",
				"sales report: status NOANSWER contradicted x1",
			}},
		{"names and words that may be personal", "sales", "",
			[]string{`{"CallSid":"1","EndTime":"x","919812345678":"a","asha@example.org":1,"` + strings.Repeat("n", 65) + `":true,"Status":"Asha 98123"}`},
			[]string{
				"sales report: field * boolean x1", "sales report: field * number x1", "sales report: field * string x1",
				"sales report: field CallSid string documented x1",
				"sales report: field EndTime string documented x1",
				"sales report: field Status string documented x1",
				"sales report: status * unknown x1",
			}},
		{"what is not about a call", "support", "", []string{`{"message":"hello","sender":"x"}`, `{"type":"cdr"}`, `nonsense`}, nil},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			book := &notebook{}
			w, d := newTestWatch(t, book, nil, quiet)
			for _, body := range tt.bodies {
				show(d, tt.account, tt.query, body)
			}
			w.Note(t.Context())
			w.Note(t.Context()) // tells nothing twice
			slices.Sort(tt.want)
			if diff := cmp.Diff(tt.want, book.lines()); diff != "" {
				t.Error(diff)
			}
		})
	}
}

// Only what a provider posts is watched: an import of years past is no drift.
func TestWatchLooksAtWebhooksOnly(t *testing.T) {
	t.Parallel()
	book := &notebook{}
	w, d := newTestWatch(t, book, nil, quiet)
	d.Decode(&call.Delivery{Account: "support", Body: []byte(`{"cmiuuid":"1","type":"cdr","old":1}`), Source: call.SourceImport})
	w.Note(t.Context())
	if lines := book.lines(); lines != nil {
		t.Error(lines)
	}
}

func TestWatchIsBounded(t *testing.T) {
	t.Parallel()
	book := &notebook{}
	w, d := newTestWatch(t, book, nil, quiet)
	const reports = 3 * call.MaxTraits
	for i := range reports {
		// Letters alone, for digits are not listed.
		name := strings.Map(func(r rune) rune { return 'a' + r - '0' }, fmt.Sprint(i))
		show(d, "support", "", `{"cmiuuid":"1","type":"cdr","`+name+`":1}`)
	}
	w.Note(t.Context())
	h := w.habits["support"][call.CallReport]
	if n := len(h.traits); n > call.MaxTraits+1 {
		t.Errorf("%d traits are remembered", n)
	}
	if n := len(*h.shapes.Load()); n > maxShapes {
		t.Errorf("%d shapes are remembered", n)
	}
	lines := book.lines()
	if !slices.Contains(lines, fmt.Sprintf("support report: limit   x%d", reports-(call.MaxTraits-2))) {
		t.Errorf("no note of the limit in %d lines", len(lines))
	}
	// Documented fields still find a place, and all is still counted.
	show(d, "support", "", `{"cmiuuid":"1","type":"cdr","team":"x"}`)
	w.Note(t.Context())
	lines = book.lines()
	for _, want := range []string{"support report: field team string documented x1", fmt.Sprintf("support report: field cmiuuid string documented x%d", reports+1)} {
		if !slices.Contains(lines, want) {
			t.Errorf("no %q", want)
		}
	}
	var all int64
	for _, seen := range book.notes {
		all += seen.Reports
	}
	if all != reports+1 {
		t.Errorf("%d reports were counted", all)
	}
}

// What the database could not take is told later, and nothing is lost.
func TestWatchTellsLaterWhatCouldNotBeStored(t *testing.T) {
	t.Parallel()
	book := &notebook{failure: errors.New("the database is away")}
	w, d := newTestWatch(t, book, nil, quiet)
	for range 2 {
		show(d, "support", "", `{"cmiuuid":"1","type":"cdr"}`)
		w.Note(t.Context())
	}
	book.failure = nil
	show(d, "support", "", `{"cmiuuid":"1","type":"cdr"}`)
	w.Note(t.Context())
	want := []string{"support report: field cmiuuid string documented x3", "support report: field type string documented x3"}
	if diff := cmp.Diff(want, book.lines()); diff != "" {
		t.Error(diff)
	}
	if len(book.notes) != 1 || book.notes[0].Reports != 3 {
		t.Errorf("noted: %+v", book.notes)
	}
}

// Run stores what is new at once, and tells of drift.
func TestWatchRuns(t *testing.T) {
	t.Parallel()
	drift := call.Drift{Trait: call.Trait{Account: "support", Report: call.CallReport, Aspect: call.AspectField, Name: "x", Type: "number"}, Change: call.ChangeNewField}
	book := &notebook{noted: make(chan struct{}), drift: []call.Drift{drift}}
	noted := book.noted
	var log strings.Builder
	var found []call.Drift
	w, d := newTestWatch(t, book, func(d call.Drift) { found = append(found, d) }, slog.New(slog.NewTextHandler(&log, nil)))
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		w.Run(ctx)
	}()
	show(d, "support", "", `{"cmiuuid":"1","type":"cdr","x":1}`)
	select {
	case <-noted:
	case <-time.After(time.Minute):
		t.Fatal("nothing was noted")
	}
	cancel()
	<-ended
	if diff := cmp.Diff([]call.Drift{drift}, found); diff != "" {
		t.Error(diff)
	}
	if want := "account=support change=new_field report=report name=x type=number"; strings.Count(log.String(), want) != 1 {
		t.Errorf("log is %s", log.String())
	}
}

// Many goroutines show reports while what they have is noted.
func TestWatchCountsUnderLoad(t *testing.T) {
	t.Parallel()
	book := &notebook{}
	w, d := newTestWatch(t, book, nil, quiet)
	const shown, goroutines = 300, 4
	var wg sync.WaitGroup
	for g := range goroutines {
		wg.Go(func() {
			for i := range shown {
				show(d, "support", "", fmt.Sprintf(`{"cmiuuid":"1","type":"cdr","f%d":1}`, (i+g)%9))
				if i%50 == 0 {
					w.Note(t.Context())
				}
			}
		})
	}
	wg.Wait()
	w.Note(t.Context())
	if want := fmt.Sprintf("support report: field type string documented x%d", shown*goroutines); !slices.Contains(book.lines(), want) {
		t.Errorf("lines are %s", strings.Join(book.lines(), "\n"))
	}
}

// Whatever comes, what is noted is bounded and holds nothing that may be a
// number, and reports of one shape have the same traits.
func FuzzDriftWatch(f *testing.F) {
	f.Add(callerDeskReport, "")
	f.Add(`{"cmiuuid":"1","type":"cdr","919812345678":1,"Status":"Asha 98123"}`, "")
	f.Add(`[{"cmiuuid":"1","type":"event","status":"\u0000"},{"cmiuuid":"2","a":{},"b":[],"c":null,"":1}]`, "")
	f.Add("", "cmiuuid=1&type=cdr&%ff=%00")
	f.Fuzz(func(t *testing.T, body, query string) {
		book := &notebook{}
		w, d := newTestWatch(t, book, nil, quiet)
		for range 2 {
			show(d, "sales", query, body)
			show(d, "support", query, body)
		}
		w.Note(t.Context())
		for _, seen := range book.notes {
			if len(seen.Traits) > call.MaxTraits+100 {
				t.Errorf("%d traits of %s", len(seen.Traits), seen.Account)
			}
			for _, s := range seen.Traits {
				if s.Reports < 2 || s.Reports > seen.Reports || strings.ContainsFunc(s.Name, unicode.IsControl) || fiveDigits.MatchString(s.Name) {
					t.Errorf("of %d reports: %+v", seen.Reports, s)
				}
			}
		}
	})
}

var fiveDigits = regexp.MustCompile(`\p{Nd}{5}`)
