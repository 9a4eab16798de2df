package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"callvault/internal/testenv"

	"github.com/google/go-cmp/cmp"
)

// TestRegroupedAgent: who is put into another group takes no call out of a report
// that was made, and brings none into one, also after a rebuild and on a node
// that knows it sooner or later; unless somebody asks for it.
func TestRegroupedAgent(t *testing.T) {
	t.Parallel()
	forEachStorage(t, func(t *testing.T, s storage) {
		more := ""
		if s.bucket == nil {
			more = "vault: {directory: " + t.TempDir() + "}\n"
		}
		of := func(group string) string {
			return more + "reports: [{name: daily, formats: [csv], match: {group: Billing}, recipients: [{address: asha@example.org, match: {agent: Asha Rao}}]}]\n" +
				`agents: [{name: Asha Rao, group: ` + group + `, telecmi: ["203"]}, {name: Neil, group: Sales, telecmi: ["204"]}]` + "\n"
		}
		in := install(t, s, anySize(), of("Billing"))
		tell := func(cmiuuid, user string, hour int) {
			t.Helper()
			file := filepath.Join(t.TempDir(), "call.json")
			line := fmt.Sprintf(`{"type":"cdr","direction":"inbound","status":"answered","cmiuuid":"%s","appid":2222223,"user":"%s_2222223","from":919812345678,"virtual_number":914440051100,"time":%d,"answeredsec":60}`+"\n",
				cmiuuid, user, time.Date(2026, 11, 20, hour, 0, 0, 0, time.FixedZone("IST", 19800)).UnixMilli())
			if err := os.WriteFile(file, []byte(line), 0o600); err != nil {
				t.Fatal(err)
			}
			if got := commandJSON[imported](t, "import", file, "--account", "support", "--data", in.data); got.Recorded != 1 {
				t.Fatalf("imported: %+v", got)
			}
		}
		tell("g1", "203", 10)
		tell("g2", "204", 11)
		revise := func(in installation, more ...string) (revisedResult, []string) {
			t.Helper()
			got := commandJSON[revisedResult](t, append([]string{"report", "daily", "--date", "2026-11-20", "--revise", "--out", t.TempDir(), "--data", in.data}, more...)...)
			var keys []string
			for _, f := range got.Files {
				if !strings.HasSuffix(f, "-calls.csv") {
					continue
				}
				text, err := os.ReadFile(f)
				if err != nil {
					t.Fatal(err)
				}
				for _, key := range []string{"g1", "g2", "late"} {
					if strings.Contains(string(text), ","+key+",") {
						keys = append(keys, key)
					}
				}
			}
			return got, keys
		}
		commandJSON[struct{}](t, "report", "daily", "--date", "2026-11-20", "--send", "--data", in.data)
		if got, keys := revise(in); got.Revised || !cmp.Equal(keys, []string{"g1"}) {
			t.Fatalf("the report has %v: %+v", keys, got)
		}

		in.configure(t, s, of("Sales"))
		if got, keys := revise(in); got.Revised || !got.Reconfigured || !cmp.Equal(keys, []string{"g1"}) {
			t.Errorf("in another group: %v: %+v", keys, got)
		}
		said := command(t, "", "report", "daily", "--date", "2026-11-20", "--revise", "--out", t.TempDir(), "--data", in.data)
		if !strings.Contains(said.stdout, "configured otherwise by now: it keeps to those that it was made with. --current-config takes those of now") {
			t.Errorf("%+v", said)
		}
		tell("late", "203", 12)
		if got, keys := revise(in); got.Revision != 2 || !cmp.Equal(keys, []string{"g1", "late"}) {
			t.Errorf("with a late call of hers: %v: %+v", keys, got)
		}

		in.start(t).stop(syscall.SIGTERM) // which writes the journal
		again, empty := in, s
		again.data = t.TempDir()
		if s.dsn != "" {
			empty.dsn = testenv.Postgres(t)
		}
		again.configure(t, empty, of("Sales"))
		in.share(t, again, auditKeyFile)
		if made := command(t, "", "rebuild", "--data", again.data); made.status != exitDone {
			t.Fatalf("%+v", made)
		}
		if got, keys := revise(again); got.Revised || got.Revision != 2 || !cmp.Equal(keys, []string{"g1", "late"}) {
			t.Errorf("after a rebuild: %v: %+v", keys, got)
		}
		if got, keys := revise(again, "--current-config"); got.Revision != 3 || keys != nil {
			t.Errorf("by what is configured now: %v: %+v", keys, got)
		}
		byNow := []string{"report", "daily", "--date", "2026-11-20", "--revise", "--current-config", "--out", t.TempDir(), "--data", again.data}
		if said := command(t, "", byNow...); !strings.Contains(said.stdout, "It goes by the agents,") {
			t.Errorf("once more: %+v", said)
		}
		// What changes nothing of a report makes no revision, and is not what it goes by.
		again.configure(t, empty, strings.Replace(of("Sales"), `["204"]`, `["204", "205"]`, 1))
		if got, _ := revise(again, "--current-config"); got.Revised || !got.Reconfigured {
			t.Errorf("by a configuration that gives the same: %+v", got)
		}
		if said := command(t, "", byNow...); !strings.Contains(said.stdout, "What is configured now gives the same; the report keeps to what it was made with.") {
			t.Errorf("by a configuration that gives the same: %+v", said)
		}
		if got := command(t, "", "report", "daily", "--date", "2026-11-20", "--current-config", "--data", again.data); got.status != exitUsage {
			t.Errorf("--current-config alone: %+v", got)
		}
	})
}
