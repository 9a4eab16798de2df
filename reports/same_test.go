package reports

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"callvault/internal/call"
)

// tangledInput freezes made-up calls that have little that tells them apart:
// agents who share names, numbers, ids and talk times, costs that are not exact
// in binary, texts that are hard to write.
func tangledInput(t *testing.T, seed uint64, path string) *Input {
	t.Helper()
	rng := rand.New(rand.NewPCG(seed, 0))
	pick := func(of ...string) string { return of[rng.IntN(len(of))] }
	someone := func() call.Agent {
		return call.Agent{Name: pick("", "Asha", "asha", "Zoë 🎧 שלום", "=1+1"), ID: pick("", "", "7", "8"),
			Number: pick("", "+919311122233", "+919311122244", "07"), Known: rng.IntN(8) == 0}
	}
	from := at("2026-11-21 00:00:00")
	w, err := createInput(path, Settings{
		Report: "daily", Kind: Day, From: from, To: from.AddDate(0, 0, 1), Zone: "Asia/Kolkata",
		AsOf: at("2026-11-22 07:00:00"), Revision: 2, Formats: []Format{XLSX, CSV},
		Revises: &Revises{Revision: 1, AsOf: at("2026-11-22 06:00:00"), Added: 1, Changed: 1, Gone: 1, Lines: 4, Before: headlineValues{
			"inbound calls": new(5.0), "inbound answer_rate": new(0.12345), "inbound asa": new(7.25), "inbound service_level": nil, "total aht": new(3.0)}},
		Rules: Rules{
			PermittedHours: []PermittedHours{{Campaign: "spring", Hours: hours(t, "sat 09:00-19:00")}, {Agent: "asha", Hours: hours(t, "daily 08:00-12:00")}},
			Formula:        OfOffered, Within: 20, ShortAbandon: 5,
			People: []call.Colleague{{Agent: call.Agent{Name: "Asha", Known: true}}, {Agent: call.Agent{Name: "Bela", Known: true}}},
		},
		Version: "1.0", PublicURL: "https://calls.example.org",
	})
	if err != nil {
		t.Fatal(err)
	}
	outcomes := []call.Outcome{call.Answered, call.Answered, call.Missed, call.Abandoned, call.Voicemail, call.Unknown}
	deliveries := make(map[call.DeliveryOutcome]int64)
	counters := newCounters()
	for i := range 60 {
		talk, wait := rng.IntN(3), rng.IntN(30)
		r := row{
			ID: fmt.Sprint(i), Key: fmt.Sprint(i), Account: pick("sales", "support"), Provider: call.CallerDesk,
			Direction: call.Direction(pick("inbound", "outbound", "")), Outcome: outcomes[rng.IntN(len(outcomes))],
			CustomerNumber: pick("+919800000001", "+919800000002", ""), BusinessNumber: pick("+911204567890", "+911204567891"),
			Agent: someone(), Group: pick("", "Sales", "Billing"), Campaign: pick("", "spring", "autumn"),
			StartedAt:   from.Add(time.Duration(rng.IntN(86400)) * time.Second).UnixMilli(),
			WaitSeconds: &wait, TalkSeconds: &talk, Cost: pick("", "0.1", "0.7", "1e-7", "free", "1000000.3"), LegsCount: 1,
		}
		for range rng.IntN(3) {
			r.Offers = append(r.Offers, someone())
		}
		if rng.IntN(3) == 0 {
			r.Recordings = []recording{{ID: r.ID, Kind: call.Conversation, State: call.Absent, Reason: pick("not offered", "=x\x01")}}
		}
		deliveries[call.DeliveryOutcome(pick("recorded", "duplicate", "unreadable"))]++
		counters.add(&r)
		if err := w.write(line{Call: &r}); err != nil {
			t.Fatal(err)
		}
	}
	for _, c := range []callChange{
		{What: changeAdded, ID: "1", Account: "sales", Direction: call.Inbound, StartedAt: from.UnixMilli(), CustomerNumber: "+919800000001", Agent: "=1+1", After: "answered, talk 0:02"},
		{What: changeChanged, ID: "2", Account: "sales", StartedAt: from.UnixMilli(), Field: "Talk", Before: "0:01", After: "1:02:03"},
		{What: changeChanged, ID: "2", Account: "sales", StartedAt: from.UnixMilli(), Field: "Cost", Before: "-1.5", After: "2"},
		{What: changeGone, ID: "3", Account: "support", Before: "missed", After: "part of another call"},
	} {
		if err := w.write(line{Change: &c}); err != nil {
			t.Fatal(err)
		}
	}
	// Of three days before there were calls, and two more are known to have none.
	var before []dayBefore
	for _, n := range []int{28, 21, 14, 7, 1} {
		day := dayBefore{From: from.AddDate(0, 0, -n).UnixMilli(), To: from.AddDate(0, 0, 1-n).UnixMilli()}
		if n < 20 {
			day.Sums = []call.CallSums{
				{Direction: call.Inbound, Outcome: call.Answered, Calls: 5, Waits: 3, WaitSeconds: 50, Soon: 2, Talks: 5, TalkSeconds: int64(97 * n)},
				{Direction: call.Inbound, Outcome: call.Abandoned, Calls: 2, Waits: 2, WaitSeconds: 9, Soon: 1},
				{Direction: call.Outbound, Outcome: call.Missed, Calls: int64(n)},
			}
		}
		before = append(before, day)
	}
	named, err := counters.named()
	if err != nil {
		t.Fatal(err)
	}
	back := from.Add(11 * time.Hour)
	if err := errors.Join(
		w.write(line{Missing: &missing{Number: "+919800000001", FirstAt: from.UnixMilli(), LastAt: from.UnixMilli(), Attempts: 2, Called: "+911204567890", Account: "sales", Group: "Sales"}}),
		w.write(line{Missing: &missing{Number: "=2+2", FirstAt: from.UnixMilli(), LastAt: from.UnixMilli(), Attempts: 1, Account: "support", ReturnedAt: back.UnixMilli()}}),
		w.write(line{Comparison: &comparison{Unique: 2, Repeat: 1, Deliveries: deliveries, Days: before, Named: named}}), w.close()); err != nil {
		t.Fatal(err)
	}
	in, err := OpenInput(context.Background(), path)
	if err != nil {
		t.Fatal(err)
	}
	return in
}

// sums builds all files of an input and names each with its hash.
func sums(t *testing.T, in *Input) []string {
	t.Helper()
	dir := t.TempDir()
	files, figures, err := BuildFiles(context.Background(), in, dir)
	if err != nil {
		t.Fatal(err)
	}
	// Also where the lists continue on further sheets.
	small := filepath.Join(dir, "small.xlsx")
	if err := writeWorkbook(context.Background(), in, figures, small, 20); err != nil {
		t.Fatal(err)
	}
	content, err := os.ReadFile(small)
	if err != nil {
		t.Fatal(err)
	}
	all := []string{fmt.Sprintf("small.xlsx %x", sha256.Sum256(content))}
	for _, f := range files {
		all = append(all, fmt.Sprintf("%s %x", f.Name, f.SHA256))
	}
	return all
}

// The same input gives the same bytes, however tangled it is, each time.
func TestSameBytesOfTangledInput(t *testing.T) {
	t.Parallel()
	for seed := range uint64(2) {
		in := tangledInput(t, seed, filepath.Join(t.TempDir(), inputName))
		first := sums(t, in)
		for range 2 {
			if diff := cmp.Diff(first, sums(t, in)); diff != "" {
				t.Errorf("seed %d: %s", seed, diff)
			}
		}
	}
}

// builtElsewhere names the frozen input whose files a process of its own shall
// build and print the hashes of.
const builtElsewhere = "BUILD_FILES_OF_INPUT"

// The same bytes also in another process, with another time zone, language and
// number of processors.
func TestSameBytesInAnotherProcess(t *testing.T) {
	if path := os.Getenv(builtElsewhere); path != "" {
		in, err := OpenInput(context.Background(), path)
		if err != nil {
			t.Fatal(err)
		}
		fmt.Println("sums: " + strings.Join(sums(t, in), ", "))
		return
	}
	t.Parallel()
	path := filepath.Join(t.TempDir(), inputName)
	want := "sums: " + strings.Join(sums(t, tangledInput(t, 5, path)), ", ")
	for _, environment := range [][]string{
		{"TZ=America/New_York", "LC_ALL=de_DE.UTF-8", "GOMAXPROCS=1"}, {"TZ=UTC", "LC_ALL=C", "GOMAXPROCS=4"},
	} {
		program := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestSameBytesInAnotherProcess$")
		program.Env = append(append(os.Environ(), builtElsewhere+"="+path), environment...)
		out, err := program.CombinedOutput()
		if err != nil {
			t.Fatalf("%v\n%s", err, out)
		}
		if !slices.Contains(strings.Split(string(bytes.TrimSpace(out)), "\n"), want) {
			t.Errorf("%v: %s\nwant %s", environment, out, want)
		}
	}
}

// Agents who are the same in all that ranks them keep their order.
func TestSameRank(t *testing.T) {
	t.Parallel()
	rank := func() string {
		agents := make(map[string]*AgentFigures)
		for _, c := range []row{
			{Account: "sales", Group: "Billing", Direction: call.Inbound, Agent: call.Agent{Name: "Asha"}},
			{Account: "sales", Group: "Sales", Direction: call.Inbound, Agent: call.Agent{Name: "Asha", Known: true}},
		} {
			agentOf(agents, c.Account, c.Agent).add(&c, c.audioMatch(), &settings, time.UTC)
		}
		var groups []string
		for _, a := range rankAgents(agents) {
			groups = append(groups, a.Group)
		}
		return strings.Join(groups, ", ")
	}
	want := rank()
	for range 50 {
		if got := rank(); got != want {
			t.Fatalf("ranked %s, and before %s", got, want)
		}
	}
}
