package call

import (
	"crypto/sha256"
	"slices"
	"time"
)

// DeliveryOutcome is what became of a delivery, or of one item of a batch.
type DeliveryOutcome string

// The outcomes of deliveries.
const (
	// Recorded: it told something new.
	Recorded DeliveryOutcome = "recorded"
	// Duplicate: everything in it was known already.
	Duplicate DeliveryOutcome = "duplicate"
	// Ignored: understood, and not about a call (SMS, routing questions).
	Ignored DeliveryOutcome = "ignored"
	// Unreadable: kept, and to be decoded again when the decoder has learned
	// to.
	Unreadable DeliveryOutcome = "unreadable"
)

// DeliveryOutcomes lists all outcomes of deliveries.
func DeliveryOutcomes() []DeliveryOutcome {
	return []DeliveryOutcome{Recorded, Duplicate, Ignored, Unreadable}
}

// Delivery is one webhook request exactly as it arrived, and what became of
// it.
type Delivery struct {
	// ID is given by the store, in the order of storing.
	ID int64
	// UID is made on receipt. A delivery whose UID the store has already is
	// stored once: so a spool may be drained twice.
	UID         string
	Account     string
	ReceivedAt  time.Time
	Method      string
	ContentType string
	// Query is the raw query, without the question mark.
	Query string
	Body  []byte
	// RemoteAddress is the sender's IP address.
	RemoteAddress string
	// MayBeStored: an earlier try to store it ended without an answer, so it
	// is to be looked for by its UID first.
	MayBeStored bool
	// BodySHA256 is that of Body, if Prepare has made it.
	BodySHA256 []byte
	// Source says how it came: SourceWebhook, SourceImport, ….
	Source DeliverySource
	// Items are what the decoder made of it; the store sets their outcomes.
	Items []Item
	// Outcome sums up Items: unreadable if any is, else recorded if any is,
	// else duplicate if any is, else ignored.
	Outcome DeliveryOutcome
	// Error says what could not be read, for people.
	Error string
	// CallIDs are the calls that its items belong to; set when read back.
	CallIDs []string
}

// DeliverySource says how a delivery came to us.
type DeliverySource string

// The sources of deliveries.
const (
	SourceWebhook DeliverySource = "webhook"
	SourceImport  DeliverySource = "import"
	// SourceBackfill: rows of a provider's call list.
	SourceBackfill DeliverySource = "backfill"
)

// Item is one report or event of a delivery. At most one of Leg and Live is
// set.
type Item struct {
	Leg *Leg
	// LegJSON is Leg as JSON, if Prepare has made it.
	LegJSON string
	Live    *LiveCall
	// Status is the provider's word for what came of the call or how far it
	// is, and Sense how the decoder understood it. Neither is stored.
	Status  string
	Sense   StatusSense
	Outcome DeliveryOutcome
	// Error says what could not be read, for people; empty if all could.
	Error string
}

// Prepare makes what the store would else have to make while all others wait
// for it: the body's hash and the legs' JSON. It need not be called.
func (d *Delivery) Prepare() {
	sum := sha256.Sum256(d.Body)
	d.BodySHA256 = sum[:]
	for i := range d.Items {
		if it := &d.Items[i]; it.Leg != nil {
			if text, err := it.Leg.JSON(); err == nil { // else the store says so
				it.LegJSON = text
			}
		}
	}
}

// Summarize sets Outcome and Error from Items. Of a batch the first error is
// shown that belongs to Outcome, or else the first there is.
func (d *Delivery) Summarize() {
	d.Outcome, d.Error = Ignored, ""
	order := []DeliveryOutcome{Ignored, Duplicate, Recorded, Unreadable}
	belongs := false
	for _, it := range d.Items {
		if slices.Index(order, it.Outcome) > slices.Index(order, d.Outcome) {
			d.Outcome, belongs = it.Outcome, false
		}
		if it.Error != "" && (d.Error == "" || it.Outcome == d.Outcome && !belongs) {
			d.Error, belongs = it.Error, it.Outcome == d.Outcome
		}
	}
}

// DeliveryFilter selects deliveries, newest first. Empty fields select all.
type DeliveryFilter struct {
	Outcome DeliveryOutcome
	Account string
	// NotAccounts are accounts whose deliveries are left out.
	NotAccounts []string
	// From and To bound ReceivedAt: From <= ReceivedAt < To.
	From, To time.Time
	// Limit is the page size, 1 to MaxLimit; 0 means DefaultLimit.
	Limit  int
	Cursor string
}
