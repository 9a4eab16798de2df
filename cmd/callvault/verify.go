package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"callvault/internal/call"
	"callvault/internal/config"
	"callvault/internal/store"

	"github.com/dustin/go-humanize"
)

type verifyCommand struct {
	From   string   `help:"Only what is of this day or later (2026-11-20, by the time zones of the accounts), or of a moment." placeholder:"DATE"`
	To     string   `help:"Only what is of this day or earlier, or before a moment." placeholder:"DATE"`
	Only   []string `sep:"none" help:"Only this part: objects, journal, calls, legs, deliveries, identifiers, rows or log; may be given several times." placeholder:"PART"`
	Rate   string   `help:"Read no faster than this, such as 50MiB/s (default: as fast as it goes)." placeholder:"RATE"`
	Bundle string   `help:"Check this bundle that export has made, instead of what is kept; it takes neither database nor network." placeholder:"FILE"`
	Key    string   `help:"With --bundle: the fingerprint of the key that should have signed it." placeholder:"FINGERPRINT"`
}

// Help is the end of the command's help.
func (verifyCommand) Help() string {
	return `Reads and hashes every object in the vault and compares it with what was archived; compares the rows with the journal in the vault; computes every call again from its legs, and every leg from its deliveries, and compares them with the rows; and computes the audit log's tree anew. The objects are read while the rest is computed. It mends nothing, and works beside a running server. The exit status is 1 if anything is not as it was kept.

  callvault verify
  callvault verify --from 2026-11-01 --to 2026-11-30 --rate 50MiB/s
  callvault verify --only log --only rows
  callvault verify --bundle case-7.zip --key 3f5c…`
}

// verified is what a verification came to.
type verified struct {
	// Complete: it came to its end, in all parts. What is said otherwise is of a
	// part.
	Complete bool `json:"complete"`
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
	// Seconds is how long each part took. Some are done beside each other: so they
	// add up to more than it all took.
	Seconds map[string]float64 `json:"seconds"`
	found   int64
	// end says why it is not complete.
	end string
}

// mostFaults bounds the faults that are kept in memory.
const mostFaults = 10_000

// Run verifies.
func (c verifyCommand) Run(ctx context.Context, g *globals) (err error) {
	switch {
	case c.Bundle != "" && (c.From != "" || c.To != "" || c.Rate != "" || len(c.Only) > 0):
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
	chosen, err := c.parts(!bounds.to.IsZero())
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
	v := verification{vault: vault, bounds: bounds, rate: rate, parts: chosen, shown: newSideBySide(g.stderr, isTerminal(g.stderr))}
	err = withStore(ctx, cfg, func(s *store.Store) error {
		v.store = s
		return v.all(ctx, cfg)
	})
	found := v.result()
	switch {
	case err != nil:
		found.end = "it was ended before."
	case v.cut.Load():
		found.end = "a part of it came to no end, for a row that it needs cannot be read."
	}
	found.Complete = found.end == ""
	if found.Checked > 0 || err == nil {
		err = errors.Join(err, g.print(&found, found.write))
	}
	if err == nil && found.found > 0 {
		return fmt.Errorf("%s %s found; docs/operations.md says what to do", counted(found.found, "fault"), verb(found.found, "was", "were"))
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
	what := func(part, noun, more string) string {
		n, looked := v.Parts[part]
		if !looked {
			return ""
		}
		return counted(n, noun) + more
	}
	said := slices.DeleteFunc([]string{
		sentence(" read and hashed", what("objects", "object", " ("+humanize.IBytes(uint64(max(v.Bytes, 0)))+")")),
		sentence(" computed again", what("calls", "call", ""), what("legs", "leg", ""), what("deliveries", "delivery", "")),
		sentence(" compared", what("log", "place", " of the log"), what("rows", "row", " that the log tells of"), what("journal", "line", " of the journal")),
	}, func(s string) bool { return s == "" })
	fmt.Fprintf(w, "%s. %s of %s are as they were kept.\n", strings.Join(said, "; "), humanize.Comma(v.OK), humanize.Comma(v.Checked))
	if !v.Complete {
		fmt.Fprintln(w, "That is not all: "+v.end)
	}
}

// sentence is what was done with things: a, b and c.
func sentence(done string, things ...string) string {
	things = slices.DeleteFunc(things, func(s string) bool { return s == "" })
	switch n := len(things); n {
	case 0:
		return ""
	case 1:
		return things[0] + done
	default:
		return strings.Join(things[:n-1], ", ") + " and " + things[n-1] + done
	}
}
