package main

import (
	"context"
	"fmt"
	"io"

	"callvault/internal/export"
)

// verdict is what verify --bundle says.
type verdict struct {
	export.Checked
	// Verdict is one of the sentences below, for people and for scripts that
	// look for it.
	Verdict string `json:"verdict"`
}

// What a bundle can be.
const (
	verdictSigned  = "consistent, signed by the expected key"
	verdictNoKey   = "consistent, signer not checked"
	verdictAltered = "not as it was made"
)

// verifyBundle checks a bundle, with neither database nor network. key is the
// fingerprint of the key that should have signed it, or empty.
func (g *globals) verifyBundle(ctx context.Context, file, key string) error {
	shown := newProgress(g.stderr, "files checked")
	var done, total int
	checked, err := export.Check(ctx, file, export.CheckOptions{Key: key, Progress: func(d, t int) {
		done, total = d, t
		shown.show(d, t)
	}})
	if total > 0 {
		shown.end(done, total)
	}
	if err != nil {
		return err
	}
	v := verdict{checked, verdictSigned}
	switch {
	case len(checked.Faults) > 0:
		v.Verdict = verdictAltered
	case key == "":
		v.Verdict = verdictNoKey
	}
	if err := g.print(v, func(w io.Writer) { v.write(w, file) }); err != nil {
		return err
	}
	if n := len(checked.Faults) + checked.MoreFaults; n > 0 {
		return fmt.Errorf("%s is %s: %s", file, verdictAltered, counted(n, "fault"))
	}
	return nil
}

// write shows the verdict to people.
func (v *verdict) write(w io.Writer, file string) {
	for _, f := range v.Faults {
		where := f.Where
		if where == "" {
			where = file
		}
		fmt.Fprintf(w, "%s: %s\n", where, f.What)
	}
	if v.MoreFaults > 0 {
		fmt.Fprintf(w, "… and %s more\n", counted(v.MoreFaults, "fault"))
	}
	fmt.Fprintf(w, "%s: %s.\n", file, v.Verdict)
	if v.ID != "" {
		fmt.Fprintf(w, "Bundle %s, made at %s by %s: %s, %s, %d missing, %s of custody.\n",
			v.ID, v.MadeAt, v.By, counted(v.Calls, "call"), counted(v.Recordings, "recording"), v.Missing, counted(v.Custody, "entry"))
	}
	if v.Unproved > 0 {
		fmt.Fprintf(w, "Of %s no entry of custody says that it was archived: the signature alone speaks for it.\n", counted(int64(v.Unproved), "recording"))
	}
	if v.Fingerprint != "" {
		fmt.Fprintf(w, "The signing key's fingerprint: %s\n", v.Fingerprint)
	}
	if v.Verdict == verdictNoKey {
		fmt.Fprintln(w, "Anybody could have made it. Ask the sender for the fingerprint by another way, and give it with --key.")
	}
}
