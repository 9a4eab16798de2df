package main

import (
	"context"
	"errors"
	"math"
	"slices"
	"sync/atomic"
	"time"

	"callvault/archive"
	"callvault/internal/call"
	"callvault/internal/config"
	"callvault/internal/store"
	"callvault/webhook"

	"golang.org/x/sync/errgroup"
)

// verifyPart is one of the things that verify does.
type verifyPart struct {
	// name is as in --only and in the result, shown what its progress counts.
	name, shown string
	// whole: it is one, from its beginning, and cannot be bounded by days.
	whole bool
	// scrubbed are the parts of the rolling scrub that it holds, where these have
	// other names.
	scrubbed []string
	check    func(*verification, context.Context, *partFindings) error
}

// verifyParts are all parts, in the order in which they are told of.
func verifyParts() []verifyPart {
	rows := func(name string, whole bool, check checkRows) verifyPart {
		return verifyPart{name: name, shown: name + " checked", whole: whole, check: func(v *verification, ctx context.Context, f *partFindings) error {
			return v.rows(ctx, f, check)
		}}
	}
	return []verifyPart{
		{name: "objects", shown: "objects read", scrubbed: []string{scrubRecordings, scrubListing}, check: (*verification).objects},
		{name: "journal", shown: "journal segments compared", whole: true, check: (*verification).journal},
		rows("calls", false, (*store.Store).CheckCalls),
		rows("legs", false, (*store.Store).CheckLegs),
		rows("deliveries", false, (*store.Store).CheckDeliveries),
		rows("identifiers", true, (*store.Store).CheckIdentifiers),
		rows("rows", true, (*store.Store).CheckRows),
		rows("log", true, (*store.Store).CheckLog),
	}
}

// parts are those that are asked for.
func (c verifyCommand) parts(bounded bool) ([]verifyPart, error) {
	var chosen []verifyPart
	for _, p := range verifyParts() {
		isAsked := slices.Contains(c.Only, p.name)
		if isAsked && p.whole && bounded {
			return nil, usagef("--only %s goes without --from and --to: it is checked as a whole", p.name)
		}
		if isAsked || len(c.Only) == 0 && (!p.whole || !bounded) {
			chosen = append(chosen, p)
		}
	}
	for _, name := range c.Only {
		if !slices.ContainsFunc(chosen, func(p verifyPart) bool { return p.name == name }) {
			return nil, usagef("--only must be objects, journal, calls, legs, deliveries, identifiers, rows or log")
		}
	}
	return chosen, nil
}

// verification is one run of the command.
type verification struct {
	store  *store.Store
	vault  archive.Vault
	bounds dayBounds
	rate   int64
	parts  []verifyPart
	shown  *sideBySide

	options call.CheckOptions
	// verifier reads objects and journal, together no faster than rate. It tells
	// of objects by looked and read.
	verifier *archive.Verifier
	looked   func(call.Checked) error
	read     func(objects, bytes int64)

	bytes int64 // of the objects
	found []*partFindings
	// cut: a part came to no end, for a row that it needs cannot be read.
	cut atomic.Bool
}

// computedAtOnce is how many parts that compute are done beside each other, and
// beside reading objects, which is waiting for disks and networks. More would leave
// less to a server that runs on the same machine, and its database.
const computedAtOnce = 2

// all checks the parts, some beside each other. The first error ends all; a row that
// cannot be read at most its part.
func (v *verification) all(ctx context.Context, cfg *config.Config) (err error) {
	if v.options, err = checkOptions(ctx, cfg, v.store); err != nil {
		return err
	}
	v.options.From, v.options.To = v.bounds.from, v.bounds.to
	v.verifier = archive.NewVerifier(archive.VerifyOptions{
		Store: v.store, Vault: v.vault, Rate: v.rate,
		Found:    func(c call.Checked) error { return v.looked(c) },
		Progress: func(objects, bytes int64) { v.read(objects, bytes) },
	})
	reading, computing := make(chan *partFindings, len(v.parts)), make(chan *partFindings, len(v.parts))
	for _, p := range v.parts {
		f := &partFindings{part: p, store: v.store}
		v.found = append(v.found, f)
		if p.name == "objects" {
			reading <- f
		} else {
			computing <- f
		}
	}
	close(reading)
	close(computing)
	group, ctx := errgroup.WithContext(ctx)
	work := func(parts <-chan *partFindings) {
		group.Go(func() error {
			for f := range parts {
				if err := v.check(ctx, f); err != nil {
					return err
				}
			}
			return nil
		})
	}
	work(reading)
	for range computedAtOnce {
		work(computing)
	}
	return group.Wait()
}

// noteLimit bounds how long the last that was found is waited to be written down,
// when the rest was ended.
const noteLimit = 10 * time.Second

func (v *verification) check(ctx context.Context, f *partFindings) error {
	began := time.Now()
	f.shown = v.shown.begin(f.part.shown)
	err := f.part.check(v, ctx, f)
	if err == nil && v.bounds == (dayBounds{}) {
		for _, name := range append(f.part.scrubbed, f.part.name) {
			f.pending = append(f.pending, call.CameToEnd(name)) // which is no thing that was looked at
		}
	}
	last, cancel := context.WithTimeout(context.WithoutCancel(ctx), noteLimit)
	defer cancel()
	// Also what is needed to write it down may be what cannot be read.
	err = errors.Join(v.cutShort(f, err), v.cutShort(f, f.flush(last)))
	f.took = time.Since(began)
	f.shown.end(f.done)
	return err
}

// cutShort takes in that a part came to no end for a row that cannot be read, if
// that is the error; and returns all others.
func (v *verification) cutShort(f *partFindings, err error) error {
	bad := call.AsUnreadable(err)
	if bad == nil {
		return err
	}
	v.cut.Store(true)
	f.take(call.CutShort(f.part.name, bad))
	return nil
}

// checkPage is how many rows are checked at a time: so many that to ask for them costs
// little, so few that they take little memory and the database is not kept for long.
const checkPage = 500

// checkRows checks a page of rows, beginning after a place.
type checkRows func(s *store.Store, ctx context.Context, o call.CheckOptions, after string, limit int) (call.Checked, error)

func (v *verification) rows(ctx context.Context, f *partFindings, check checkRows) error {
	for next, more := "", true; more; more = next != "" {
		checked, err := check(v.store, ctx, v.options, next, checkPage)
		if err != nil {
			return err
		}
		if err := f.note(ctx, checked); err != nil {
			return err
		}
		next, f.done = checked.Next, int(f.checked)
		f.shown.show(f.done, 0)
	}
	return nil
}

// checkOptions say how rows are computed again.
func checkOptions(ctx context.Context, cfg *config.Config, s *store.Store) (o call.CheckOptions, err error) {
	// What is read again is no news for the drift watch.
	decoder, err := webhook.NewDecoder(webhookAccounts(cfg), webhook.Hooks{})
	if err != nil {
		return o, err
	}
	o.Decode = func(d *call.Delivery) bool {
		decoder.Decode(d)
		_, known := cfg.Account(d.Account)
		return known
	}
	if o.ReadSince, err = s.VersionSince(ctx, programVersion()); err != nil {
		return o, err
	}
	if o.Verifier, err = auditVerifier(cfg); err != nil {
		return o, err
	}
	if cfg.Retention.Deliveries != (config.Term{}) {
		if o.KeptSince, err = s.OldestDelivery(ctx); o.KeptSince.IsZero() {
			o.KeptSince = time.Now() // none is left
		}
	}
	return o, err
}

// objects reads what lies in the vault.
func (v *verification) objects(ctx context.Context, f *partFindings) error {
	stats, err := v.store.QueueStats(ctx)
	if err != nil && call.AsUnreadable(err) == nil { // it only says how many there are
		return err
	}
	total := int(stats.Archived)
	if !v.bounds.to.IsZero() {
		total = 0
	}
	v.looked = func(c call.Checked) error { return f.note(ctx, c) }
	v.read = func(objects, bytes int64) {
		v.bytes = bytes
		if f.done = int(objects); total == 0 || f.done < total {
			f.shown.show(f.done, total)
		}
	}
	if v.bounds.to.IsZero() {
		return v.verifier.All(ctx)
	}
	return v.verifier.Days(ctx, v.bounds.from, v.bounds.to.Add(-time.Millisecond))
}

// journal compares the rows with the journal in the vault.
func (v *verification) journal(ctx context.Context, f *partFindings) error {
	rows := v.store.NewJournalCheck()
	for after := int64(0); ; f.done++ {
		checked, number, err := v.verifier.Segment(ctx, rows, after)
		if err != nil || number == 0 {
			return err
		}
		for _, c := range checked {
			if err := f.note(ctx, c); err != nil {
				return err
			}
		}
		after = number
		f.shown.show(f.done+1, 0)
	}
}

// partFindings is what came of a part.
type partFindings struct {
	part  verifyPart
	store *store.Store
	shown *besideWork
	// done is how far it is, in whatever its progress counts.
	done int
	took time.Duration

	// faults and notices are the first mostFaults of each; checked, ok and found
	// count all.
	faults, notices         []call.Fault
	checked, ok             int64
	foundFaults, foundNotes int64
	// pending is what was found and not yet written down, waiting of how many
	// things.
	pending []call.Checked
	waiting int
}

// noteEvery is of how many things it is written down together what was found.
const noteEvery = 1000

// note takes in what came of a look, and writes it down once it is enough.
func (f *partFindings) note(ctx context.Context, c call.Checked) error {
	if f.take(c); f.waiting < noteEvery {
		return nil
	}
	return f.flush(ctx)
}

func (f *partFindings) take(c call.Checked) {
	bad := map[string]bool{}
	for _, fault := range c.Faults {
		bad[fault.Where] = true
	}
	n := int64(len(c.Where))
	f.checked += n
	f.ok += n - int64(len(bad))
	f.foundFaults += int64(len(c.Faults))
	f.foundNotes += int64(len(c.Notices))
	f.faults = append(f.faults, c.Faults[:min(len(c.Faults), mostFaults-len(f.faults))]...)
	f.notices = append(f.notices, c.Notices[:min(len(c.Notices), mostFaults-len(f.notices))]...)
	i := slices.IndexFunc(f.pending, func(p call.Checked) bool { return slices.Equal(p.Kinds, c.Kinds) })
	if i < 0 {
		i = len(f.pending)
		f.pending = append(f.pending, call.Checked{Kinds: c.Kinds})
	}
	f.pending[i].Where = append(f.pending[i].Where, c.Where...)
	f.pending[i].Faults = append(f.pending[i].Faults, c.Faults...)
	f.waiting += len(c.Where)
}

// flush writes down what was found, as the rolling scrub does.
func (f *partFindings) flush(ctx context.Context) error {
	pending := f.pending
	f.pending, f.waiting = nil, 0
	if len(pending) == 0 {
		return nil
	}
	_, err := f.store.NoteChecked(ctx, pending...)
	return err
}

// result puts together what the parts came to, in their order.
func (v *verification) result() verified {
	r := verified{Faults: []call.Fault{}, Notices: []call.Fault{}, Bytes: v.bytes, Parts: map[string]int64{}, Seconds: map[string]float64{}}
	for _, f := range v.found {
		if f.shown == nil {
			continue // it never began
		}
		r.Parts[f.part.name] = f.checked
		r.Seconds[f.part.name] = math.Round(f.took.Seconds()*1000) / 1000
		r.Checked += f.checked
		r.OK += f.ok
		r.found += f.foundFaults
		r.More += f.foundFaults + f.foundNotes
		r.Faults = append(r.Faults, f.faults...)
		r.Notices = append(r.Notices, f.notices...)
	}
	r.Faults = r.Faults[:min(len(r.Faults), mostFaults)]
	r.Notices = r.Notices[:min(len(r.Notices), mostFaults)]
	r.More -= int64(len(r.Faults) + len(r.Notices))
	return r
}
