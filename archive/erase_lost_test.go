package archive_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"callvault/archive"
	"callvault/internal/audit"
	"callvault/internal/call"
	"callvault/internal/store"
)

// TestErasureGuessesInSharedCallsAlone: with the key of the numbers lost, the
// number of whoever joined an erased call is taken for the person's in that call
// and its request, as it cannot be told apart, and nowhere else: bundles that were
// asked for by it stay, and so does the rest of what that other person has.
func TestErasureGuessesInSharedCallsAlone(t *testing.T) {
	t.Parallel()
	everywhere(t, func(t *testing.T, o store.Options, v archive.Vault) {
		const theirs = "+919800000001"
		p := newPremises(t, openStore(t, o), v)
		own := customer("2.2", theirs)
		p.record(t, legOf("g-1", subject, ""), own)
		// Of another time: only the number says whom it is about.
		export := func() call.Export {
			t.Helper()
			e, err := p.store.AddExport(t.Context(), call.Export{By: "x", Reason: "r", Request: json.RawMessage(
				`{"filter":{"number":"` + theirs + `","from":"2020-01-01T00:00:00Z","to":"2020-02-01T00:00:00Z"}}`)})
			if err != nil {
				t.Fatal(err)
			}
			return e
		}
		waiting, removed := export(), export()
		if _, err := p.store.RemoveExport(t.Context(), removed.ID); err != nil {
			t.Fatal(err)
		}
		e := p.begin(t)
		p.goOn(t, e.ID)
		rebuilt, err := audit.New(audit.DatabaseRebuilt, "", map[string]int{"n": 1})
		if err == nil {
			err = p.store.Audit(t.Context(), rebuilt)
		}
		if err != nil {
			t.Fatal(err)
		}
		joins := legOf("c-1", theirs, "g-1")
		p.record(t, joins)
		p.goOn(t, e.ID)
		if c := p.certificate(t, e.ID); !c.Complete || c.Erased[call.ErasedExport] != 0 {
			t.Errorf("certificate %+v", c)
		}
		if now, err := p.store.Erasure(t.Context(), e.ID); err != nil || now.Number != "" || now.FinishedAt.IsZero() {
			t.Errorf("the erasure is %+v, %v", now, err)
		}
		if got, err := p.store.Call(t.Context(), joins.CallIDs[0]); err != nil || got.CustomerNumber != "" || got.LegsCount != 2 {
			t.Errorf("the shared call is %+v, %v", got, err)
		}
		if got, err := p.store.Call(t.Context(), own.CallIDs[0]); err != nil || got.CustomerNumber != theirs {
			t.Errorf("their own call is %+v, %v", got, err)
		}
		for _, id := range []string{waiting.ID, removed.ID} {
			if got, err := p.store.Export(t.Context(), id); err != nil || !strings.Contains(string(got.Request), theirs) || id == waiting.ID && got.State != waiting.State {
				t.Errorf("a bundle of theirs is %+v, %v", got, err)
			}
		}
	})
}

// TestErasureLeavesLaterRequestsOfTheJournal: of requests that only the journal has
// any more, those that came after the erasure was asked for stay, as all others do.
func TestErasureLeavesLaterRequestsOfTheJournal(t *testing.T) {
	t.Parallel()
	everywhere(t, func(t *testing.T, o store.Options, v archive.Vault) {
		p := newPremises(t, openStore(t, o), v)
		request := func(text string, at time.Time) *call.Delivery {
			return &call.Delivery{
				Account: "sales", ReceivedAt: at, Method: "POST", Source: call.SourceWebhook,
				Body: fmt.Appendf(nil, `{"sms":%q,"from":%q}`, text, subject), Items: []call.Item{{Outcome: call.Ignored}},
			}
		}
		forget := func() {
			t.Helper()
			p.writeJournal(t)
			var from call.Place
			if n, more, err := p.store.ForgetDeliveries(t.Context(), "sales", time.Now().Add(48*time.Hour), &from); err != nil || n == 0 || more {
				t.Fatalf("%d forgotten, %t, %v", n, more, err)
			}
		}
		p.record(t, request("before", time.Now().Add(-time.Hour)))
		e := p.begin(t)
		p.record(t, request("after, beside it", time.Now().Add(time.Hour)))
		forget()
		p.record(t, request("after", time.Now().Add(time.Hour)))
		forget()
		p.goOn(t, e.ID)
		if c := p.certificate(t, e.ID); !c.Complete || c.Erased[call.ErasedJournal] != 1 {
			t.Errorf("certificate %+v", c)
		}
		p.writeJournal(t)
		deliveries, _, _ := journaled(t, v)
		for _, d := range deliveries {
			later := strings.Contains(string(d.Body), "after")
			if has := strings.Contains(string(d.Body), subject[1:]); has != later || later && d.Erased != "" {
				t.Errorf("left in the journal: %s (%q)", d.Body, d.Erased)
			}
		}
		if len(deliveries) != 3 {
			t.Errorf("%d requests are left", len(deliveries))
		}
	})
}
