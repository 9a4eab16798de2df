package reports

import (
	"bytes"
	"encoding/json"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"pgregory.net/rapid"

	"callvault/internal/call"
)

// Every row comes back as it was written, and without help.
func TestRowDecoder(t *testing.T) {
	t.Parallel()
	var d rowDecoder
	var got row
	rapid.Check(t, func(t *rapid.T) {
		optional := rapid.Ptr(rapid.IntRange(-5, 100_000), true)
		text := rapid.String()
		agent := rapid.Custom(func(t *rapid.T) call.Agent {
			return call.Agent{ID: text.Draw(t, "id"), Name: text.Draw(t, "name"), Number: text.Draw(t, "number"), Known: rapid.Bool().Draw(t, "known")}
		})
		want := row{
			ID: text.Draw(t, "id"), Account: text.Draw(t, "account"), Provider: call.TeleCMI, Key: text.Draw(t, "key"),
			Direction: call.Inbound, Outcome: rapid.SampledFrom(call.Outcomes()).Draw(t, "outcome"),
			Status: text.Draw(t, "status"), CustomerNumber: text.Draw(t, "customer"), BusinessNumber: text.Draw(t, "business"),
			Agent: agent.Draw(t, "agent"), Offers: rapid.SliceOfN(agent, 0, 3).Draw(t, "offers"),
			Group: text.Draw(t, "group"), Campaign: text.Draw(t, "campaign"),
			StartedAt: rapid.Int64Range(-1e15, 1e15).Draw(t, "start"), AnsweredAt: rapid.Int64Range(0, 1e15).Draw(t, "answer"),
			EndedAt: rapid.Int64Range(0, 1e15).Draw(t, "end"), WaitSeconds: optional.Draw(t, "wait"),
			TalkSeconds: optional.Draw(t, "talk"), TotalSeconds: optional.Draw(t, "total"),
			HangupCause: text.Draw(t, "cause"), HangupBy: text.Draw(t, "by"), Cost: text.Draw(t, "cost"), LegsCount: 3,
			Recordings: rapid.SliceOfN(rapid.Custom(func(t *rapid.T) recording {
				return recording{ID: text.Draw(t, "id"), Kind: call.Conversation, State: call.Absent,
					Reason: text.Draw(t, "reason"), LastError: text.Draw(t, "error"), Attempts: 2, Size: 7,
					AudioSeconds: optional.Draw(t, "audio"), Truncated: rapid.Bool().Draw(t, "truncated")}
			}), 0, 3).Draw(t, "recordings"),
		}
		raw, err := json.Marshal(line{Call: &want})
		if err != nil {
			t.Fatal(err)
		}
		if err := d.decode(raw, &got); err != nil {
			t.Fatal(err)
		}
		if d.strange {
			t.Fatalf("left to encoding/json: %s", raw)
		}
		if diff := cmp.Diff(want, got, cmpopts.EquateEmpty()); diff != "" {
			t.Fatal(diff)
		}
	})
}

// Whatever a line is, it is read as encoding/json reads it, or refused.
func FuzzRowDecoder(f *testing.F) {
	for _, seed := range []string{
		`{"call":{"id":"a","account":"b","provider":"c","key":"d","outcome":"missed","legs_count":1}}`,
		`{"call":{"id":"a\n\u0041","agent":{"name":"x"},"offers":[{"id":"1"},{}],"recordings":[{"size":5,"audio_seconds":4}]}}`,
		`{"call":{"id":"a",}}`, `{"call":{"id":"a"},"call":{}}`, `{"call":{"legs_count":007}}`, `{"call":{"offers":[{},]}}`,
		`{"call":{"id":"\"}}`, `{"call":`, `{"call":null}`, `{"call":{"wait_seconds":null}}`, `{"call":{"id":"a" }}`,
		`{"call":{"new_field":1}}`, "{\"call\":{\"id\":\"\t\"}}",
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		raw = append(bytes.Clone(callLine), raw[min(len(raw), len(callLine)):]...)
		var d rowDecoder
		var got, want row
		gotErr := d.decode(raw, &got)
		var l line
		wantErr := json.Unmarshal(raw, &l)
		if wantErr != nil {
			// Control characters and broken UTF-8 within texts are the only
			// things that the decoder is less strict about.
			return
		}
		if l.Call != nil {
			want = *l.Call
		}
		if gotErr != nil {
			t.Fatalf("refused %q: %v", raw, gotErr)
		}
		if !d.strange {
			if diff := cmp.Diff(want, got, cmpopts.EquateEmpty()); diff != "" && json.Valid(raw) && validTexts(raw) {
				t.Fatalf("%q: %s", raw, diff)
			}
		}
	})
}

func validTexts(raw []byte) bool { return validText(string(raw)) == string(raw) }
