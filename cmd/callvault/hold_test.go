package main

import (
	"context"
	"crypto/sha256"
	"strings"
	"testing"
	"time"

	"callvault/internal/audit"
	"callvault/internal/call"
	"callvault/internal/config"
	"callvault/internal/store"

	"github.com/google/go-cmp/cmp"
)

// holdShown is what hold place, list and release give.
type holdShown struct {
	Name     string
	State    string
	Calls    int
	PlacedBy string `json:"placed_by"`
	Released *struct{ By string }
}

func TestHoldCommand(t *testing.T) {
	t.Parallel()
	in := install(t, storage{}, anySize(), "holds: {two_person: true}\n")
	data := []string{"--data", in.data}
	id := in.withStore(t, func(ctx context.Context, s *store.Store) string {
		l := &call.Leg{Account: "sales", Provider: call.CallerDesk, Key: "1.1", Direction: call.Inbound, CustomerNumber: "+919812345678", StartedAt: time.Date(2026, 11, 20, 9, 0, 0, 0, time.UTC)}
		l.AddKey(call.KeyCall, l.Key)
		d := &call.Delivery{Account: "sales", ReceivedAt: time.Now(), Method: "POST", Source: call.SourceWebhook, Items: []call.Item{{Leg: l}}}
		if err := s.Record(ctx, []*call.Delivery{d}); err != nil {
			t.Fatal(err)
		}
		for name, role := range map[string]call.Role{"asha-token": call.Compliance, "viewer-token": call.Viewer} {
			if err := s.AddToken(ctx, call.Token{Name: strings.TrimSuffix(name, "-token"), Role: role, Hash: sha256.Sum256([]byte(name))}); err != nil {
				t.Fatal(err)
			}
		}
		return d.CallIDs[0]
	})
	const password = "correct horse battery"
	for _, name := range []string{"asha", "ravi"} {
		if got := command(t, password, append(data, "user", "add", name, "--role", "compliance", "--stdin")...); got.status != exitDone {
			t.Fatal(got.stderr)
		}
	}
	placed := commandJSON[holdShown](t, append(data, "hold", "place", "case", "--reason", "court order", "--number", "12345678")...)
	if placed.Calls != 1 || placed.State != "in_force" || placed.PlacedBy == "" {
		t.Errorf("placed: %+v", placed)
	}
	commandJSON[holdShown](t, append(data, "hold", "place", "one", "--reason", "r", "--call", id)...)
	list := commandJSON[struct{ Holds []holdShown }](t, append(data, "hold", "list")...)
	if len(list.Holds) != 2 || list.Holds[1].Calls != 1 {
		t.Errorf("list: %+v", list)
	}
	release := []string{"hold", "release", "case", "--reason", "settled"}
	for _, tt := range []struct {
		name, stdin, token string
		args               []string
		status             int
		says               string
	}{
		{name: "nobody in particular", args: release, status: exitUsage, says: "--as USER"},
		{name: "a wrong password", stdin: "nonsense", args: append(release, "--as", "asha"), status: exitWrong, says: "are wrong"},
		{name: "nobody who is known", stdin: password, args: append(release, "--as", "nobody"), status: exitWrong, says: "are wrong"},
		{name: "a viewer", token: "viewer-token", args: release, status: exitWrong, says: "needs compliance or admin"},
		{name: "no token of ours", token: "strange", args: release, status: exitWrong, says: "not one of Callvault's"},
		{name: "the first", stdin: password + "\n", args: append(release, "--as", "asha"), status: exitDone, says: "another person"},
		{name: "the first again", stdin: password, args: append(release, "--as", "asha"), status: exitWrong, says: "another person"},
		{name: "the first by a token", token: "asha-token", args: release, status: exitWrong, says: "another person"},
		{name: "withdrawn by somebody else", stdin: password, args: append(release, "--withdraw", "--as", "ravi"), status: exitDone, says: "was withdrawn"},
		{name: "withdrawn again", stdin: password, args: append(release, "--withdraw", "--as", "ravi"), status: exitWrong, says: "nobody has asked"},
		{name: "asked anew", stdin: password + "\n", args: append(release, "--as", "asha"), status: exitDone, says: "another person"},
		{name: "the second", stdin: password, args: append(release, "--as", "ravi", "--json"), status: exitDone, says: `"state":"released"`},
		{name: "once more", stdin: password, args: append(release, "--as", "ravi"), status: exitWrong, says: "was released"},
		{name: "no calls", args: []string{"hold", "place", "x", "--reason", "r"}, status: exitUsage, says: "which calls"},
		{name: "backwards", args: []string{"hold", "place", "x", "--reason", "r", "--from", "2026-11-25", "--to", "2026-11-01"}, status: exitUsage, says: "from is after to"},
		{name: "a name with a slash", args: []string{"hold", "place", "a/b", "--reason", "r", "--number", "1"}, status: exitUsage, says: "no /"},
		{name: "nothing matches", args: []string{"hold", "place", "nothing", "--reason", "r", "--account", "salse"}, status: exitDone, says: "keeps nothing yet"},
		{name: "both", args: []string{"hold", "place", "x", "--reason", "r", "--call", id, "--number", "1"}, status: exitUsage, says: "either"},
		{name: "no such call", args: []string{"hold", "place", "x", "--reason", "r", "--call", "none"}, status: exitWrong, says: "no call with the id none"},
		{name: "a name twice", args: []string{"hold", "place", "case", "--reason", "r", "--number", "1"}, status: exitWrong, says: "already"},
		{name: "no such hold", args: []string{"hold", "list", "none"}, status: exitWrong, says: "no hold named none"},
		{name: "shown", args: []string{"hold", "list"}, status: exitDone, says: "by ravi"},
	} {
		var stdout, stderr strings.Builder
		environ := func() []string {
			if tt.token == "" {
				return nil
			}
			return []string{tokenVariable + "=" + tt.token}
		}
		status := run(t.Context(), append(data, tt.args...), &globals{stdin: strings.NewReader(tt.stdin), stdout: &stdout, stderr: &stderr, environ: environ})
		if said := stdout.String() + stderr.String(); status != tt.status || !strings.Contains(said, tt.says) {
			t.Errorf("%s: status %d, want %d, saying %q:\n%s", tt.name, status, tt.status, tt.says, said)
		}
	}
	var refused []string
	for _, e := range in.logged(t, "access.refused") {
		if !strings.Contains(string(e.Facts), `"command":"hold release`) {
			t.Errorf("a refusal's facts are %s", e.Facts)
		}
		refused = append(refused, e.Actor.Kind+" "+e.Actor.Name)
	}
	machine := "command " + commandActor().Name
	if diff := cmp.Diff([]string{"token asha", "user asha", machine, "token viewer", machine, machine}, refused); diff != "" {
		t.Errorf("refused, the last first: %s", diff)
	}
	if viewed := in.logged(t, "holds.viewed"); len(viewed) != 2 || viewed[0].Actor != commandActor() {
		t.Errorf("looks at holds are %+v", viewed)
	}
}

// logged are the entries of an action.
func (in installation) logged(t *testing.T, action string) []audit.Entry {
	t.Helper()
	return commandJSON[struct{ Entries []audit.Entry }](t, "audit", "list", "--action", action, "--data", in.data).Entries
}

// withStore opens the installation's database for a test.
func (in installation) withStore(t *testing.T, f func(context.Context, *store.Store) string) (result string) {
	t.Helper()
	cfg, err := config.Load(config.Options{Data: in.data})
	if err != nil {
		t.Fatal(err)
	}
	if err := withStore(t.Context(), cfg, func(s *store.Store) error { result = f(t.Context(), s); return nil }); err != nil {
		t.Fatal(err)
	}
	return result
}
