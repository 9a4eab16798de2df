package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"time"

	"callvault/archive"
	"callvault/internal/call"
	"callvault/internal/config"
	"callvault/internal/store"
	"callvault/webhook"

	"github.com/dustin/go-humanize"
)

type verifyCommand struct {
	From   string `help:"Only what is of this day or later (2026-11-20, by the time zones of the accounts), or of a moment." placeholder:"DATE"`
	To     string `help:"Only what is of this day or earlier, or before a moment." placeholder:"DATE"`
	Rate   string `help:"Read no faster than this, such as 50MiB/s (default: as fast as it goes)." placeholder:"RATE"`
	Bundle string `help:"Check this bundle that export has made, instead of what is kept; it takes neither database nor network." placeholder:"FILE"`
	Key    string `help:"With --bundle: the fingerprint of the key that should have signed it." placeholder:"FINGERPRINT"`
}

// Help is the end of the command's help.
func (verifyCommand) Help() string {
	return `Reads and hashes every object in the vault and compares it with what was archived; compares the rows with the journal in the vault; computes every call again from its legs, and every leg from its deliveries, and compares them with the rows; and computes the audit log's tree anew. It mends nothing, and works beside a running server. The exit status is 1 if anything is not as it was kept.

  callvault verify
  callvault verify --from 2026-11-01 --to 2026-11-30 --rate 50MiB/s
  callvault verify --bundle case-7.zip --key 3f5c…`
}

// verified is what a verification came to.
type verified struct {
	// Checked counts all things that were looked at, OK those with which
	// nothing is wrong.
	Checked int64 `json:"checked"`
	OK      int64 `json:"ok"`
	// Faults and Notices are the first mostFaults of each; More counts the
	// others.
	Faults  []call.Fault     `json:"faults"`
	Notices []call.Fault     `json:"notices"`
	More    int64            `json:"more"`
	Bytes   int64            `json:"bytes"`
	Parts   map[string]int64 `json:"parts"`
	// Seconds is how long each part took.
	Seconds map[string]float64 `json:"seconds"`
	found   int64
}

// mostFaults bounds the faults that are kept in memory.
const mostFaults = 10_000

// Run verifies.
func (c verifyCommand) Run(ctx context.Context, g *globals) error {
	switch {
	case c.Bundle != "" && (c.From != "" || c.To != "" || c.Rate != ""):
		return usagef("--bundle goes with --key and nothing else")
	case c.Bundle != "":
		return g.verifyBundle(ctx, c.Bundle, c.Key)
	case c.Key != "":
		return usagef("--key goes with --bundle")
	}
	cfg, err := g.load()
	if err != nil {
		return err
	}
	if err := hasStore(cfg); err != nil {
		return err
	}
	bounds, err := c.bounds(cfg, time.Now())
	if err != nil {
		return err
	}
	rate, err := parseRate(c.Rate)
	if err != nil {
		return err
	}
	vault, err := openVault(cfg)
	if err != nil {
		return err
	}
	if closer, ok := vault.(io.Closer); ok {
		defer func() { err = errors.Join(err, closer.Close()) }()
	}
	v := verification{verified: verified{Faults: []call.Fault{}, Notices: []call.Fault{}, Parts: map[string]int64{}, Seconds: map[string]float64{}}, vault: vault, bounds: bounds, rate: rate}
	err = withStore(ctx, cfg, func(s *store.Store) error {
		v.store = s
		return v.all(ctx, g, cfg)
	})
	if v.Checked > 0 || err == nil {
		err = errors.Join(err, g.print(&v.verified, v.write))
	}
	if err == nil && v.found > 0 {
		return fmt.Errorf("%s %s found; docs/operations.md says what to do", counted(v.found, "fault"), verb(v.found, "was", "were"))
	}
	return err
}

// parseRate reads bytes per second; 0 is no bound.
func parseRate(text string) (int64, error) {
	if text == "" {
		return 0, nil
	}
	var rate config.ByteRate
	if err := rate.UnmarshalText([]byte(text)); err != nil {
		return 0, usagef("--rate must be bytes per second, such as 50MiB/s")
	}
	return int64(rate), nil
}

// dayBounds are from when to when something must have been; zero: no bound.
type dayBounds struct{ from, to time.Time }

// bounds are as wide as the accounts' zones make them: a day begins where it
// begins first, and ends where it ends last.
func (c verifyCommand) bounds(cfg *config.Config, now time.Time) (b dayBounds, err error) {
	zones := []*time.Location{time.UTC}
	for i, a := range cfg.Accounts {
		if i == 0 {
			zones = nil
		}
		zones = append(zones, a.TimeZone.Location)
	}
	for _, zone := range zones {
		from, _, err := parseMoment("--from", c.From, zone)
		if err != nil {
			return b, err
		}
		to, day, err := parseMoment("--to", c.To, zone)
		if err != nil {
			return b, err
		}
		if day {
			to = to.AddDate(0, 0, 1)
		}
		if b.from.IsZero() || from.Before(b.from) {
			b.from = from
		}
		if to.After(b.to) {
			b.to = to
		}
	}
	if !b.from.IsZero() && b.to.IsZero() {
		b.to = now
	}
	if !b.from.IsZero() && !b.from.Before(b.to) {
		return b, usagef("--from must be before --to, and not in the future")
	}
	return b, nil
}

// verification is one run of the command.
type verification struct {
	verified
	store  *store.Store
	vault  archive.Vault
	bounds dayBounds
	rate   int64
	// pending is what was found and not yet written down, waiting of how many
	// things.
	pending []call.Checked
	waiting int
}

func (v *verification) all(ctx context.Context, g *globals, cfg *config.Config) error {
	began := time.Now()
	took := func(part string) {
		v.Seconds[part] = math.Round(time.Since(began).Seconds()*1000) / 1000
		began = time.Now()
	}
	if err := v.objects(ctx, g); err != nil {
		return err
	}
	took("objects")
	if v.bounds.to.IsZero() {
		if err := v.journal(ctx, g); err != nil {
			return err
		}
		took("journal")
	}
	o, err := checkOptions(ctx, cfg, v.store)
	if err != nil {
		return err
	}
	o.From, o.To = v.bounds.from, v.bounds.to
	for _, part := range []struct {
		name  string
		check func(context.Context, call.CheckOptions, string, int) (call.Checked, error)
	}{
		{"calls", v.store.CheckCalls},
		{"legs", v.store.CheckLegs},
		{"deliveries", v.store.CheckDeliveries},
		{"rows", v.store.CheckRows},
		{"log", v.store.CheckLog},
	} {
		if (part.name == "log" || part.name == "rows") && !v.bounds.to.IsZero() {
			continue // the log is one, from its beginning
		}
		shown := newProgress(g.stderr, part.name+" checked")
		for next, more := "", true; more; more = next != "" {
			checked, err := part.check(ctx, o, next, checkPage)
			if err != nil {
				return err
			}
			if err := v.note(ctx, part.name, checked); err != nil {
				return err
			}
			next = checked.Next
			shown.show(int(v.Parts[part.name]), 0)
		}
		shown.end(int(v.Parts[part.name]), 0)
		took(part.name)
	}
	return v.flush(ctx)
}

// checkPage is how many rows are checked at a time.
const checkPage = 200

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

func (v *verification) objects(ctx context.Context, g *globals) error {
	stats, err := v.store.QueueStats(ctx)
	if err != nil {
		return err
	}
	total := int(stats.Archived)
	if !v.bounds.to.IsZero() {
		total = 0
	}
	shown := newProgress(g.stderr, "objects read")
	verifier := archive.NewVerifier(archive.VerifyOptions{
		Store: v.store, Vault: v.vault, Rate: v.rate,
		Found: func(c call.Checked) error { return v.note(ctx, "objects", c) },
		Progress: func(objects, bytes int64) {
			v.Bytes = bytes
			if total == 0 || int(objects) < total {
				shown.show(int(objects), total)
			}
		},
	})
	if v.bounds.to.IsZero() {
		err = verifier.All(ctx)
	} else {
		err = verifier.Days(ctx, v.bounds.from, v.bounds.to.Add(-time.Millisecond))
	}
	shown.end(int(v.Parts["objects"]), 0)
	return errors.Join(err, v.flush(context.WithoutCancel(ctx)))
}

// journal compares the rows with the journal in the vault.
func (v *verification) journal(ctx context.Context, g *globals) error {
	verifier := archive.NewVerifier(archive.VerifyOptions{Store: v.store, Vault: v.vault, Rate: v.rate})
	rows := v.store.NewJournalCheck()
	shown := newProgress(g.stderr, "journal segments compared")
	segments := 0
	defer func() { shown.end(segments, 0) }()
	for after := int64(0); ; segments++ {
		checked, number, err := verifier.Segment(ctx, rows, after)
		if err != nil || number == 0 {
			return err
		}
		for _, c := range checked {
			if err := v.note(ctx, "journal", c); err != nil {
				return err
			}
		}
		after = number
		shown.show(segments+1, 0)
	}
}

// noteEvery is of how many things it is written down together what was found.
const noteEvery = 200

// note takes in what came of a look.
func (v *verification) note(ctx context.Context, part string, c call.Checked) error {
	bad := map[string]bool{}
	for _, f := range c.Faults {
		bad[f.Where] = true
		if v.found++; v.found <= mostFaults {
			v.Faults = append(v.Faults, f)
		} else {
			v.More++
		}
	}
	for _, f := range c.Notices {
		if len(v.Notices) < mostFaults {
			v.Notices = append(v.Notices, f)
		} else {
			v.More++
		}
	}
	n := int64(len(c.Where))
	v.Parts[part] += n
	v.Checked += n
	v.OK += n - int64(len(bad))
	v.pending = append(v.pending, c)
	if v.waiting += len(c.Where); v.waiting < noteEvery {
		return nil
	}
	return v.flush(ctx)
}

// flush writes down what was found, as the rolling scrub does.
func (v *verification) flush(ctx context.Context) error {
	pending := v.pending
	v.pending, v.waiting = nil, 0
	_, err := v.store.NoteChecked(ctx, pending...)
	return err
}

// write shows the result to people.
func (v *verified) write(w io.Writer) {
	for _, f := range v.Faults {
		fmt.Fprintf(w, "%s  %s: %s\n", f.Kind, f.Where, f.What)
	}
	for _, f := range v.Notices {
		fmt.Fprintf(w, "notice: %s  %s: %s\n", f.Kind, f.Where, f.What)
	}
	if v.More > 0 {
		fmt.Fprintf(w, "and %d more\n", v.More)
	}
	fmt.Fprintf(w, "%s (%s) read and hashed; %s, %s and %s computed again; %s of the log, %s that it tells of and %s of the journal compared. %s of %s are as they were kept.\n",
		counted(v.Parts["objects"], "object"), humanize.IBytes(uint64(max(v.Bytes, 0))), counted(v.Parts["calls"], "call"), counted(v.Parts["legs"], "leg"),
		counted(v.Parts["deliveries"], "delivery"), counted(v.Parts["log"], "place"), counted(v.Parts["rows"], "row"), counted(v.Parts["journal"], "line"), humanize.Comma(v.OK), humanize.Comma(v.Checked))
}
