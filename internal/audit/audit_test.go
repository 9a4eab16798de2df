package audit_test

import (
	"encoding/json"
	"reflect"
	"testing"
	"time"

	"callvault/internal/audit"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/mod/sumdb/tlog"
	"pgregory.net/rapid"
)

// TestCanonicalForm holds the bytes that are hashed: a log that was written by
// one version must be proved by the next.
func TestCanonicalForm(t *testing.T) {
	t.Parallel()
	at := time.Date(2026, 11, 22, 17, 36, 31, 120_999_999, time.FixedZone("IST", 19800))
	for name, c := range map[string]struct {
		entry audit.Entry
		want  string
	}{
		"whole": {
			audit.Entry{Seq: 7, At: at, Action: audit.CallsSearched, Actor: audit.Actor{Kind: audit.KindUser, Name: "asha", Address: "203.0.113.9"},
				Subject: "call/1", Reason: "case 12 <b> & \"quotes\" \t\u2028é", Facts: json.RawMessage(` { "z": 1.50, "a": "<\u00e9>" } `)},
			`{"seq":7,"at":"2026-11-22T12:06:31.12Z","action":"calls.searched","actor":{"kind":"user","name":"asha","address":"203.0.113.9"},` +
				`"subject":"call/1","reason":"case 12 \u003cb\u003e \u0026 \"quotes\" \t\u2028é","facts":{"z":1.50,"a":"\u003c\u00e9\u003e"}}`,
		},
		"bare": {
			audit.Entry{At: at, Action: audit.RecordingAbsent, Actor: audit.Actor{Kind: audit.KindSystem}},
			`{"seq":0,"at":"2026-11-22T12:06:31.12Z","action":"recording.absent","actor":{"kind":"system"}}`,
		},
		"what databases do not take": {
			audit.Entry{At: at, Action: audit.RecordingAbsent, Actor: audit.Actor{Kind: audit.KindSystem}, Reason: "a\x00b\xff", Facts: json.RawMessage("{\"a\":\"\xff\"}")},
			`{"seq":0,"at":"2026-11-22T12:06:31.12Z","action":"recording.absent","actor":{"kind":"system"},"reason":"ab` + "\uFFFD" + `","facts":{"a":"` + "\uFFFD" + `"}}`,
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got, err := c.entry.Record()
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(c.want, string(got)); diff != "" {
				t.Error(diff)
			}
			// What was read back hashes alike.
			var back audit.Entry
			if err := json.Unmarshal(got, &back); err != nil {
				t.Fatal(err)
			}
			again, err := back.Record()
			if diff := cmp.Diff(string(got), string(again)); diff != "" || err != nil {
				t.Error(diff, err)
			}
		})
	}
}

// TestCanonicalFormIsJSON: the record is what encoding/json makes of the entry's
// normal form.
func TestCanonicalFormIsJSON(t *testing.T) {
	t.Parallel()
	if entry := reflect.TypeFor[audit.Entry](); entry.Field(entry.NumField()-1).Name != "Facts" {
		t.Error("the facts do not stand last, where they are put")
	}
	text := rapid.OneOf(rapid.String(), rapid.StringMatching(`[a-z./ "\\\\<>&\x00-\x1f\x7f\x{2028}é\x{10ffff}]*`), rapid.Just(""),
		rapid.Map(rapid.SliceOf(rapid.Byte()), func(b []byte) string { return string(b) }))
	rapid.Check(t, func(t *rapid.T) {
		facts, err := json.Marshal(rapid.MapOf(text, text).Draw(t, "facts"))
		if err != nil || rapid.Bool().Draw(t, "no facts") {
			facts = nil
		}
		e := audit.Entry{
			Seq: rapid.Int64().Draw(t, "seq"), At: time.UnixMicro(rapid.OneOf(rapid.Int64Range(-1<<50, 1<<53), rapid.Int64()).Draw(t, "at")), Action: audit.Action("a" + text.Draw(t, "action")),
			Actor:   audit.Actor{Kind: text.Draw(t, "kind"), Name: text.Draw(t, "name"), Address: text.Draw(t, "address")},
			Subject: text.Draw(t, "subject"), Reason: text.Draw(t, "reason"), Facts: facts,
		}
		normal, err := e.Normal()
		if err != nil {
			t.Fatal(err)
		}
		want, wantErr := json.Marshal(normal)
		got, err := e.Record()
		if diff := cmp.Diff(string(want), string(got)); diff != "" || (err == nil) != (wantErr == nil) {
			t.Error(diff, err, wantErr)
		}
	})
}

func TestFactsMustBeAnObject(t *testing.T) {
	t.Parallel()
	for _, facts := range []string{`[1]`, `"text"`, `{`, `{} {}`, ` `, `null`} {
		e := audit.Entry{Action: audit.CallViewed, Facts: json.RawMessage(facts)}
		if _, err := e.Record(); err == nil {
			t.Errorf("facts %q were taken", facts)
		}
	}
	if _, err := (audit.Entry{}).Record(); err == nil {
		t.Error("an entry without action was taken")
	}
}

func TestActorOfContext(t *testing.T) {
	t.Parallel()
	if got := audit.ActorOf(t.Context()); got != (audit.Actor{Kind: audit.KindSystem}) {
		t.Errorf("nobody is %+v", got)
	}
	asha := audit.Actor{Kind: audit.KindUser, Name: "asha", Address: "203.0.113.9"}
	if got := audit.ActorOf(audit.By(t.Context(), asha)); got != asha {
		t.Errorf("got %+v", got)
	}
}

// TestTreeGrowsAsTlogSays: whatever the pieces in which leaves are appended,
// the stored hashes and the head are those that tlog computes of all leaves.
func TestTreeGrowsAsTlogSays(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		var stored []tlog.Hash // by index
		reader := tlog.HashReaderFunc(func(indexes []int64) ([]tlog.Hash, error) {
			hashes := make([]tlog.Hash, len(indexes))
			for i, index := range indexes {
				hashes[i] = stored[index]
			}
			return hashes, nil
		})
		var tree audit.Tree
		var kept []tlog.Hash
		for range rapid.IntRange(0, 12).Draw(t, "pieces") {
			leaves := make([]tlog.Hash, rapid.IntRange(0, 9).Draw(t, "leaves"))
			for i := range leaves {
				n := tree.Size + int64(i)
				leaves[i] = tlog.RecordHash([]byte{byte(n)})
				hashes, err := tlog.StoredHashes(n, []byte{byte(n)}, reader)
				if err != nil {
					t.Fatal(err)
				}
				stored = append(stored, hashes...)
			}
			next, hashes, err := tree.Append(leaves)
			if err != nil {
				t.Fatal(err)
			}
			tree = next
			for _, h := range hashes {
				kept = append(kept, h...)
			}
		}
		if diff := cmp.Diff(stored, kept); diff != "" {
			t.Fatal(diff)
		}
		want, err := tlog.TreeHash(tree.Size, reader)
		if err != nil {
			t.Fatal(err)
		}
		if got, err := tree.Head(); err != nil || got.Hash != want {
			t.Fatalf("head is %v, want %v (%v)", got, want, err)
		}
	})
}

func TestBrokenEdgeIsAnError(t *testing.T) {
	t.Parallel()
	tree := audit.Tree{Size: 3, Edge: make([]tlog.Hash, 1)}
	if _, err := tree.Head(); err == nil {
		t.Error("a head was made of too few hashes")
	}
	if _, _, err := tree.Append(make([]tlog.Hash, 1)); err == nil {
		t.Error("a leaf was appended to too few hashes")
	}
}
