package archive_test

import (
	"fmt"
	"log/slog"
	"testing"
	"time"

	"callvault/archive"
	"callvault/internal/call"
	"callvault/internal/store"
)

// legOf is a report of a leg of an inbound TeleCMI call: that of the customer
// names the conversation by its own key, an agent's by one that may come later.
func legOf(key, number, conversation string) *call.Delivery {
	l := &call.Leg{
		Account: "support", Provider: call.TeleCMI, Key: key, Direction: call.Inbound, Outcome: call.Answered, Status: "answered",
		CustomerNumber: number, StartedAt: started, TalkSeconds: new(30), Agent: call.Agent{ID: "204"},
		Recordings: []call.Wanted{{Kind: call.Conversation, Source: key + ".mp3", Location: "https://rec.example.org/" + key + ".mp3"}},
	}
	if number == "" {
		l.Side = call.SideB
	}
	l.AddKey(call.KeyConversation, conversation)
	return &call.Delivery{
		Account: "support", ReceivedAt: time.Now(), Method: "POST", ContentType: "application/json", Source: call.SourceWebhook,
		Body: fmt.Appendf(nil, `{"cmiuuid":%q,"from":%q,"conversation_uuid":%q}`, key, number, conversation), Items: []call.Item{{Leg: l}},
	}
}

// A call that turns out to be one with another one while its erasure is under
// way, at any step of it, leaves nothing behind: neither the number nor the audio
// of either. So it is whichever of the two came first, and whichever id stays.
func TestErasureOfCallsThatBecomeOne(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name  string
		first bool // the person's came first
	}{{"the person's id stays", true}, {"the other's id stays", false}} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			var steps int
			for steps = 1; steps < 40; steps++ {
				o := store.Options{Path: t.TempDir() + "/callvault.db"}
				s, v := openStore(t, o), onDirectory(t)
				p := newPremises(t, s, v)
				persons, agents := legOf("g-1", subject, ""), legOf("b-1", "", "")
				if tt.first {
					p.record(t, persons)
					p.record(t, agents)
				} else {
					p.record(t, agents)
					p.record(t, persons)
				}
				p.archiveAll(t, archive.Protection{})
				p.writeJournal(t)
				e := p.begin(t)
				merged := false
				meanwhile := &dyingVault{Vault: v, left: steps, lives: true, die: func() {
					merged = true
					p.record(t, legOf("b-1", "", "g-1"))
				}}
				eraser := archive.NewEraser(archive.EraserOptions{
					Store: &dyingStore{s, meanwhile}, Vault: meanwhile, WriteJournal: p.journal.Write, Now: time.Now, Logger: slog.New(slog.DiscardHandler),
				})
				if _, err := eraser.Continue(t.Context(), e.ID); err != nil {
					t.Fatalf("step %d: %v", steps, err)
				}
				if !merged {
					break
				}
				for range 3 { // as it would by itself
					if now, err := s.Erasure(t.Context(), e.ID); err != nil || now.NextAt.IsZero() {
						break
					}
					p.due(t, e.ID, o)
					p.goOn(t, e.ID)
				}
				one, err := s.Call(t.Context(), persons.CallIDs[0])
				if err != nil || one.LegsCount != 2 || one.CustomerNumber != "" {
					t.Errorf("step %d: they became %+v, %v", steps, one, err)
				}
				p.writeJournal(t)
				p.forgets(t, dumpOf(t, o))
				p.journalForgets(t)
				if keys := list(t, v, "calls/"); len(keys) != 0 {
					t.Errorf("step %d: objects %v", steps, keys)
				}
			}
			if steps < 10 || steps == 40 {
				t.Errorf("they became one at %d steps", steps)
			}
		})
	}
}
