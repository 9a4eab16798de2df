package webhook

import (
	"bytes"
	"fmt"

	"callvault/internal/call"
)

// Hooks are told what an operator wants to count. Each may be nil; they are
// called from many goroutines and must be quick.
type Hooks struct {
	// Answered is told of every request: the account, empty for a stranger's,
	// and the HTTP status.
	Answered func(account string, status int)
	// Drift is told of a status word that is not in the provider's vocabulary
	// or that the times of its own report contradict.
	Drift func(account, word string)
	// Watch is shown what reports are made of that came by the webhook.
	Watch *DriftWatch
}

// Decoder makes of deliveries what they say. It is safe for concurrent use.
type Decoder struct {
	accounts map[string]*account
	hooks    Hooks
}

// account is an Account with what is worth keeping between its deliveries.
type account struct {
	Account
	phones *phones
	// mapped is nil for a provider that is known.
	mapped *mapped
}

// reader makes an item of one flat set of fields. It states facts; what
// follows from them for the call is call.Merge's to say.
type reader func(*account, *call.Delivery, fields) call.Item

// NewDecoder makes a decoder for the accounts. Names must be unique.
func NewDecoder(accounts []Account, hooks Hooks) (*Decoder, error) {
	d := &Decoder{accounts: make(map[string]*account, len(accounts)), hooks: hooks}
	for _, a := range accounts {
		if err := a.check(); err != nil {
			return nil, err
		}
		if d.accounts[a.Name] != nil {
			return nil, fmt.Errorf("account %s: two of the same name", a.Name)
		}
		known := &account{Account: a}
		worldFirst := a.Provider == call.TeleCMI
		if a.Provider == call.Mapped {
			known.mapped = newMapped(&a)
			worldFirst = a.Mapping.CountryCodes
		}
		known.phones = newPhones(a.Region, worldFirst)
		d.accounts[a.Name] = known
	}
	return d, nil
}

// Decode sets the delivery's Items by its account, content type, query and
// body. Whatever they are, there is at least one item, and nothing of the
// delivery itself is changed. The store completes the outcomes of items that
// have a leg or a live call.
func (d *Decoder) Decode(del *call.Delivery) {
	del.Items = nil
	defer func() {
		// What the decoder trips over must be kept like anything else, for the
		// provider may never send it again.
		if trouble := recover(); trouble != nil {
			del.Items = append(del.Items, unreadable("the decoder broke down: %v", trouble))
		}
		del.Summarize()
	}()
	a := d.accounts[del.Account]
	if a == nil {
		del.Items = []call.Item{unreadable("account %s is not configured", del.Account)}
		return
	}
	if del.Source == call.SourceBackfill {
		del.Items = []call.Item{readListed(a, del)}
		return
	}
	read, typed := a.reader(), isJSON(del.Body)
	for _, p := range a.parts(del) {
		if p.err != "" {
			del.Items = append(del.Items, unreadable("%s", p.err))
			continue
		}
		it := read(a, del, p.fields)
		if d.hooks.Drift != nil && it.Sense != "" && it.Sense != call.StatusKnown {
			d.hooks.Drift(a.Name, it.Status)
		}
		if d.hooks.Watch != nil && del.Source == call.SourceWebhook {
			d.hooks.Watch.look(a.Name, p.fields, typed, &it)
		}
		del.Items = append(del.Items, it)
	}
	if len(del.Items) == 0 {
		del.Items = []call.Item{ignored("empty")}
	}
}

// reader is how the reports of the account's provider are read.
func (a *account) reader() reader {
	switch a.Provider {
	case call.CallerDesk:
		return readCallerDesk
	case call.Mapped:
		return readMapped
	}
	return readTeleCMI
}

// parts are the reports in a delivery.
func (a *account) parts(del *call.Delivery) []part {
	if a.mapped != nil {
		return a.mapped.parts(del)
	}
	return split(del.ContentType, del.Query, del.Body)
}

// isJSON reports whether a body begins like JSON, which gives values types.
func isJSON(body []byte) bool {
	body = bytes.TrimSpace(bytes.TrimPrefix(body, []byte("\ufeff")))
	return len(body) > 0 && (body[0] == '{' || body[0] == '[')
}

// senseOf says whether a status word was known; nothing of no word.
func senseOf(word string, known bool) call.StatusSense {
	switch {
	case word == "":
		return ""
	case known:
		return call.StatusKnown
	}
	return call.StatusUnknown
}

func ignored(reason string) call.Item {
	return call.Item{Outcome: call.Ignored, Error: reason}
}

func unreadable(format string, args ...any) call.Item {
	return call.Item{Outcome: call.Unreadable, Error: fmt.Sprintf(format, args...)}
}
