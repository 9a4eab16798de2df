package webhook

import (
	"cmp"
	"context"
	"encoding/json"
	"hash/maphash"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"
	"unicode"

	"golang.org/x/time/rate"

	"callvault/internal/call"
)

const (
	// countEvery is how often it is stored how many reports had what. What is
	// new is stored at once.
	countEvery = time.Minute
	// noteTime bounds how long the database may take for it.
	noteTime = 10 * time.Second
	// maxShapes bounds the fast path; a report of a shape beyond it takes the
	// slow one.
	maxShapes = 512
)

// DriftStore remembers what accounts' reports are made of, for all nodes.
type DriftStore interface {
	// NoteSightings adds to what is known, and returns the drift in it that
	// nobody has noted before.
	NoteSightings(context.Context, call.Sightings) ([]call.Drift, error)
}

// DriftOptions is what a DriftWatch needs. All but Found are required.
type DriftOptions struct {
	Accounts []Account
	Store    DriftStore
	Now      func() time.Time
	Logger   *slog.Logger
	// Found, if set, is told of all drift that this node was the first to note.
	Found func(call.Drift)
}

// DriftWatch notes which fields, types and status words each account's reports
// have, and tells of those that are new once the account's reports are known.
//
// Almost all reports look like others before them. So each is reduced to its
// shape, a hash over its field names, types and status word, and a report of a
// known shape costs one look-up and one count.
type DriftWatch struct {
	o      DriftOptions
	habits map[string]map[call.ReportKind]*habits
	wake   chan struct{}
	warn   rate.Sometimes
}

// habits are what is known of one account's reports of one kind.
type habits struct {
	account    string
	report     call.ReportKind
	documented map[string]string
	seed       maphash.Seed
	// shapes is replaced, never changed.
	shapes atomic.Pointer[map[uint64]*shape]

	mu     sync.Mutex
	traits map[traitKey]*trait
	// alone counts the reports that have no shape.
	alone int64
}

type traitKey struct {
	aspect     call.Aspect
	name, kind string
}

// trait is guarded by the mu of its habits.
type trait struct {
	traitKey
	documented, stored bool
	reports            int64 // of no shape, and not told yet
}

// shape is what reports have that look alike. Its traits do not change.
type shape struct {
	traits  []*trait
	reports atomic.Int64 // not told yet
}

// NewDriftWatch makes a DriftWatch for the accounts. Run must run for anything
// to be stored.
func NewDriftWatch(o DriftOptions) *DriftWatch {
	w := &DriftWatch{o: o, habits: make(map[string]map[call.ReportKind]*habits, len(o.Accounts)),
		wake: make(chan struct{}, 1), warn: rate.Sometimes{First: 1, Interval: time.Hour}}
	seed := maphash.MakeSeed()
	for _, a := range o.Accounts {
		of := make(map[call.ReportKind]*habits)
		for _, kind := range []call.ReportKind{call.CallReport, call.LiveEvent} {
			h := &habits{account: a.Name, report: kind, documented: documented(a.Provider, kind),
				seed: seed, traits: make(map[traitKey]*trait)}
			h.shapes.Store(&map[uint64]*shape{})
			of[kind] = h
		}
		w.habits[a.Name] = of
	}
	return w
}

// Run stores what is new as it comes, and the counts from time to time, until
// ctx ends, and then once more.
func (w *DriftWatch) Run(ctx context.Context) {
	tick := time.NewTicker(countEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			last, cancel := context.WithTimeout(context.WithoutCancel(ctx), noteTime)
			defer cancel()
			w.Note(last)
			return
		case <-w.wake:
			w.note(ctx, false)
		case <-tick.C:
			w.note(ctx, true)
		}
	}
}

// Note stores what was seen and not stored yet.
func (w *DriftWatch) Note(ctx context.Context) { w.note(ctx, true) }

func (w *DriftWatch) note(ctx context.Context, counts bool) {
	for _, of := range w.habits {
		for _, h := range of {
			seen, traits := h.take(counts, w.o.Now())
			if len(traits) == 0 {
				continue
			}
			limit, cancel := context.WithTimeout(ctx, noteTime)
			drift, err := w.o.Store.NoteSightings(limit, seen)
			cancel()
			if err != nil {
				h.giveBack(seen, traits)
				if ctx.Err() == nil {
					w.warn.Do(func() {
						w.o.Logger.WarnContext(ctx, "what reports are made of could not be noted", "error", err)
					})
				}
				continue
			}
			h.markStored(traits)
			for _, d := range drift {
				w.o.Logger.WarnContext(ctx, "the provider's reports have changed; nothing is dropped for it",
					"account", d.Account, "change", d.Change, "report", d.Report, "name", d.Name, "type", d.Type)
				if w.o.Found != nil {
					w.o.Found(d)
				}
			}
		}
	}
}

// look is shown a report of an account and what was made of it. Of typed fields
// the types mean something: they were JSON.
func (w *DriftWatch) look(account string, f fields, typed bool, it *call.Item) {
	report := call.CallReport
	if it.Live != nil {
		report = call.LiveEvent
	} else if it.Leg == nil {
		return // not about a call, or not even readable, which is told elsewhere
	}
	h := w.habits[account][report]
	if h == nil {
		return
	}
	id := h.shapeOf(f, typed, it)
	s := (*h.shapes.Load())[id]
	if s == nil {
		var isNew bool
		if s, isNew = h.learn(id, f, typed, it); isNew {
			select {
			case w.wake <- struct{}{}:
			default:
			}
		}
	}
	if s != nil {
		s.reports.Add(1)
	}
}

// shapeOf is the same for reports that have the same traits, in any order.
func (h *habits) shapeOf(f fields, typed bool, it *call.Item) uint64 {
	sum := maphash.String(h.seed, it.Status) + uint64(len(it.Sense))
	for name, raw := range f {
		if kind := typeOf(raw, typed); kind != "" {
			sum += maphash.String(h.seed, name) * (2*uint64(kind[0]) + 1)
		}
	}
	return sum
}

// typeOf is the type of a field's value; empty for one that says nothing, be it
// null or an empty text: that is no change of type.
func typeOf(raw json.RawMessage, typed bool) string {
	if len(raw) == 0 {
		return ""
	}
	switch raw[0] {
	case '"':
		switch {
		case len(raw) == len(`""`):
			return ""
		case typed:
			return "string"
		}
		return call.TypeText
	case '{':
		return "object"
	case '[':
		return "array"
	case 't', 'f':
		return "boolean"
	case 'n':
		return ""
	}
	return "number"
}

// learn takes in a report of a shape that is not known. Without room for its
// shape it is counted, and nil is returned.
func (h *habits) learn(id uint64, f fields, typed bool, it *call.Item) (s *shape, isNew bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	shapes := *h.shapes.Load()
	if s = shapes[id]; s != nil {
		return s, false // another report was quicker
	}
	s = new(shape)
	has := make(map[*trait]bool, len(f)+1)
	add := func(k traitKey, documented bool) {
		t, fresh := h.trait(k, documented)
		isNew = isNew || fresh
		if !has[t] {
			has[t] = true
			s.traits = append(s.traits, t)
		}
	}
	for name, raw := range f {
		if kind := typeOf(raw, typed); kind != "" {
			types, known := h.documented[name]
			add(traitKey{call.AspectField, listable(name), kind},
				known && (kind == call.TypeText || strings.Contains(types, kind)))
		}
	}
	if it.Status != "" {
		add(traitKey{call.AspectStatus, listable(it.Status), string(it.Sense)}, it.Sense == call.StatusKnown)
	}
	if len(shapes) == maxShapes {
		h.alone++
		for _, t := range s.traits {
			t.reports++
		}
		return nil, isNew
	}
	more := make(map[uint64]*shape, len(shapes)+1)
	maps.Copy(more, shapes)
	more[id] = s
	h.shapes.Store(&more)
	return s, isNew
}

// trait finds or makes a trait. When there are too many, it is the one that
// says so.
func (h *habits) trait(k traitKey, documented bool) (_ *trait, isNew bool) {
	if t := h.traits[k]; t != nil {
		return t, false
	}
	if len(h.traits) >= call.MaxTraits && (!documented || k.aspect != call.AspectField) {
		k, documented = traitKey{aspect: call.AspectLimit}, false
		if t := h.traits[k]; t != nil {
			return t, false
		}
	}
	t := &trait{traitKey: k, documented: documented}
	h.traits[k] = t
	return t, true
}

// take returns what is to be stored: the traits that are new and, if counts are
// wanted, all that were seen.
func (h *habits) take(counts bool, now time.Time) (call.Sightings, []*trait) {
	h.mu.Lock()
	defer h.mu.Unlock()
	seen := call.Sightings{Account: h.account, Report: h.report, At: now}
	isNew := func(t *trait) bool { return !t.stored }
	if !counts && !slices.ContainsFunc(h.list(), isNew) {
		return seen, nil
	}
	seen.Reports, h.alone = h.alone, 0
	for _, s := range *h.shapes.Load() {
		n := s.reports.Swap(0)
		seen.Reports += n
		for _, t := range s.traits {
			t.reports += n
		}
	}
	var traits []*trait
	for _, t := range h.list() {
		if t.reports > 0 || !t.stored {
			traits = append(traits, t)
			seen.Traits = append(seen.Traits, call.Sighting{Aspect: t.aspect, Name: t.name, Type: t.kind,
				Documented: t.documented, Reports: t.reports})
			t.reports = 0
		}
	}
	return seen, traits
}

// list are the traits in an order that all nodes share, so that they do not
// wait for each other's rows in a circle.
func (h *habits) list() []*trait {
	all := make([]*trait, 0, len(h.traits))
	for _, t := range h.traits {
		all = append(all, t)
	}
	slices.SortFunc(all, func(a, b *trait) int {
		return cmp.Or(cmp.Compare(a.aspect, b.aspect), cmp.Compare(a.name, b.name), cmp.Compare(a.kind, b.kind))
	})
	return all
}

// giveBack undoes take.
func (h *habits) giveBack(seen call.Sightings, traits []*trait) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.alone += seen.Reports
	for i, t := range traits {
		t.reports += seen.Traits[i].Reports
	}
}

func (h *habits) markStored(traits []*trait) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, t := range traits {
		t.stored = true
	}
}

// listable is the name of a field, or a status word, if it is surely no more
// than that: one that is long, or has five digits in a row or signs that names
// don't have, may be a number, an address or a whole report.
func listable(name string) string {
	const maxName, maxDigits = 64, 4
	digits := 0
	for _, r := range name {
		if digits++; !unicode.IsDigit(r) {
			digits = 0
		}
		if digits > maxDigits || !unicode.IsLetter(r) && !unicode.IsDigit(r) && !strings.ContainsRune(" _-.:,/()[]&", r) {
			return call.UnlistedName
		}
	}
	if name == "" || len(name) > maxName {
		return call.UnlistedName
	}
	return name
}

// documented are the fields that a provider names itself, with their types
// (docs.callerdesk.io: sample-payload; doc.telecmi.com: chub, chub-india and
// piopiy).
func documented(provider call.Provider, report call.ReportKind) map[string]string {
	switch {
	case provider == call.CallerDesk && report == call.CallReport:
		return typed("string", "type SourceNumber DestinationNumber DialWhomNumber CallDuration TalkDuration coins Status"+
			" StartTime EndTime CallSid CallRecordingUrl Direction campid call_group receiver_name error_code"+
			" LegA_Picked_time LegB_Start_time LegB_Picked_time key_press hangup_cause Uniqueid")
	case provider == call.CallerDesk:
		return typed("string", "type SourceNumber DestinationNumber DialWhomNumber Status StartTime CallSid Direction campid call_group")
	case provider == call.TeleCMI && report == call.CallReport:
		return merged(
			typed("string", "type direction status leg cmiuuid cmiuid call_id conversation_uuid user team hangup_reason"+
				" filename voicename ivr_name custom request_id extra_params balance"),
			typed("number", "time answeredsec waitedsec start_time answer_time end_time duration"),
			typed("number string", "appid app_id virtual_number from to callerid vn call_rate"),
			typed("boolean string", "record voicemail click_to_call"))
	case provider == call.TeleCMI:
		return merged(
			typed("string", "type direction status leg cmiuuid cmiuid parent_uid call_id conversation_uuid user team"+
				" custom request_id extra_params"),
			typed("number", "time"),
			typed("number string", "appid app_id from to callerid virtual_number"))
	}
	return nil
}

func typed(types, names string) map[string]string {
	m := make(map[string]string)
	for name := range strings.FieldsSeq(names) {
		m[name] = types
	}
	return m
}

func merged(parts ...map[string]string) map[string]string {
	all := make(map[string]string)
	for _, part := range parts {
		maps.Copy(all, part)
	}
	return all
}
