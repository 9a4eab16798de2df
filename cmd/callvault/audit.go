package main

import (
	"bufio"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"callvault/internal/audit"
	"callvault/internal/call"
	"callvault/internal/config"
	"callvault/internal/store"
)

type auditCommand struct {
	Head   auditHead   `cmd:"" help:"Say how long the audit log is, its root hash, its last seal and its key."`
	List   auditList   `cmd:"" help:"List what was done and seen, the last first."`
	Export auditExport `cmd:"" help:"Write the whole log as JSON lines, each just as it is hashed."`
	Rekey  auditRekey  `cmd:"" help:"Go on with a new key when the old one is lost."`
}

type auditHead struct{}

// Run prints the head.
func (auditHead) Run(ctx context.Context, g *globals) error {
	return g.withStore(ctx, func(s *store.Store) error {
		head, err := s.AuditHead(ctx)
		if err != nil {
			return err
		}
		key, err := s.AuditKey(ctx)
		if err != nil {
			return err
		}
		seal, err := s.LastSeal(ctx)
		if err != nil {
			return err
		}
		result := struct {
			audit.Head
			Seal        string `json:"seal"`
			Key         string `json:"key"`
			Fingerprint string `json:"fingerprint"`
		}{Head: head, Seal: seal, Key: key}
		if key != "" {
			result.Fingerprint = audit.Fingerprint(key)
		}
		return g.print(result, func(w io.Writer) {
			fmt.Fprintf(w, "The log has %s, with the root hash %s.\n", counted(head.Size, "entry"), head.Hash)
			if key == "" {
				fmt.Fprintln(w, "It was never sealed: Callvault has not run yet (`callvault serve`).")
				return
			}
			fmt.Fprintf(w, "Public key:  %s\nFingerprint: %s\n", key, result.Fingerprint)
			if seal != "" {
				fmt.Fprintf(w, "Last seal:\n\n%s", seal)
			}
		})
	})
}

type auditList struct {
	From    string `json:"from,omitempty" help:"From then on: a day (UTC) or a moment (RFC 3339)." placeholder:"TIME"`
	To      string `json:"to,omitempty" help:"Until then; a day is part of it." placeholder:"TIME"`
	Action  string `json:"action,omitempty" help:"One action, as call.viewed, or all of a kind, with the dot at its end: recording." placeholder:"ACTION"`
	Actor   string `json:"actor,omitempty" help:"Who: the name of a user, a token, or whoever ran a command." placeholder:"NAME"`
	Subject string `json:"subject,omitempty" help:"What it was done to, as recording/ID, or all of a kind, as recording/." placeholder:"SUBJECT"`
	Limit   int    `json:"limit,omitempty" help:"How many." default:"100"`
}

// Run lists entries.
func (c auditList) Run(ctx context.Context, g *globals) error {
	f := audit.Filter{Action: audit.Action(c.Action), Actor: c.Actor, Subject: c.Subject}
	var err error
	if f.From, _, err = parseMoment("--from", c.From, time.UTC); err != nil {
		return err
	}
	var day bool
	if f.To, day, err = parseMoment("--to", c.To, time.UTC); err != nil {
		return err
	}
	if day {
		f.To = f.To.AddDate(0, 0, 1)
	}
	if c.Limit < 1 {
		return usagef("--limit must be at least 1")
	}
	if c.Action != "" && !f.Action.IsKnown() {
		return usagef("--action: there is no action %q; docs/compliance.md, \"What is in it\", lists them, as call.viewed, and recording. means all of a kind", c.Action)
	}
	return g.withStore(ctx, func(s *store.Store) error {
		if err := noteAct(ctx, s, audit.LogSearched, "", c); err != nil {
			return err
		}
		result := struct {
			Entries []audit.Entry `json:"entries"`
		}{[]audit.Entry{}}
		for more := true; more && len(result.Entries) < c.Limit; {
			f.Limit = min(c.Limit-len(result.Entries), call.MaxLimit)
			var page []audit.Entry
			if page, more, err = s.FindAudit(ctx, f); err != nil {
				return err
			}
			if len(page) > 0 {
				f.Before = &page[len(page)-1].Seq
			}
			result.Entries = append(result.Entries, page...)
		}
		return g.print(result, func(w io.Writer) {
			for _, e := range result.Entries {
				fmt.Fprintln(w, oneEntry(e))
			}
		})
	})
}

// oneEntry is an entry on one line for people; --json tells all.
func oneEntry(e audit.Entry) string {
	who := strings.TrimSpace(e.Actor.Kind + " " + e.Actor.Name)
	if e.Actor.Address != "" {
		who += " from " + e.Actor.Address
	}
	line := fmt.Sprintf("%d  %s  %s  %s  %s", e.Seq, e.At.Format(time.RFC3339), who, e.Action, cmp.Or(e.Subject, "-"))
	if e.Reason != "" {
		line += "  " + strconv.Quote(e.Reason)
	}
	return line
}

type auditExport struct {
	Out string `help:"The file to write; default: standard output." placeholder:"FILE"`
}

// auditPage is how many entries are read at a time.
const auditPage = 1000

// Run writes all entries.
func (c auditExport) Run(ctx context.Context, g *globals) error {
	return g.withStore(ctx, func(s *store.Store) (err error) {
		if err := noteAct(ctx, s, audit.LogSearched, "", map[string]string{"copied_to": cmp.Or(c.Out, "standard output")}); err != nil {
			return err
		}
		out := g.stdout
		if c.Out != "" {
			f, err := os.OpenFile(c.Out, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
			if err != nil {
				return fmt.Errorf("write the audit log: %w", err)
			}
			defer func() { err = errors.Join(err, f.Close()) }()
			out = f
		}
		w := bufio.NewWriter(out)
		for from := int64(0); ; {
			entries, err := s.AuditEntries(ctx, from, auditPage)
			if err != nil {
				return err
			}
			for _, e := range entries {
				record, err := e.Record()
				if err != nil {
					return err
				}
				if _, err := w.Write(append(record, '\n')); err != nil {
					return fmt.Errorf("write the audit log: %w", err)
				}
			}
			if len(entries) < auditPage {
				break
			}
			from += auditPage
		}
		if err := w.Flush(); err != nil {
			return fmt.Errorf("write the audit log: %w", err)
		}
		return nil
	})
}

type auditRekey struct {
	Reason string `required:"" help:"Why, which the log keeps."`
}

// Help is the end of the command's help.
func (auditRekey) Help() string {
	return `Stop Callvault on all nodes first. A new key is written to audit.key in the data folder (an old one there is kept beside it), or, where audit.key_file is configured, the key that stands there now is taken. What the old key has signed can still be checked by whoever knows its fingerprint; the log says when the key was changed, by whom and why. Tell everybody who compares fingerprints.`
}

// Run changes the key.
func (c auditRekey) Run(ctx context.Context, g *globals) error {
	cfg, err := g.load()
	if err != nil {
		return err
	}
	if err := hasStore(cfg); err != nil {
		return err
	}
	return withStore(ctx, cfg, func(s *store.Store) error {
		key, err := c.change(ctx, cfg, s)
		if err != nil {
			return err
		}
		return g.print(map[string]string{"key": key.Verifier(), "fingerprint": key.Fingerprint()}, func(w io.Writer) {
			fmt.Fprintf(w, "From now on the audit log is signed by the key with the fingerprint\n%s\n", key.Fingerprint())
		})
	})
}

// change takes the key that is configured, or makes a new one in the data folder.
func (c auditRekey) change(ctx context.Context, cfg *config.Config, s *store.Store) (*audit.Key, error) {
	text := cfg.Audit.Key.Reveal()
	made := text == ""
	if made {
		var err error
		if text, err = audit.NewKey(); err != nil {
			return nil, err
		}
	}
	key, err := audit.ReadKey(text)
	if err != nil {
		return nil, fmt.Errorf("read the key of the audit log: %w", err)
	}
	use := func() error { return s.ChangeAuditKey(ctx, key.Verifier(), c.Reason) }
	if !made {
		return key, use()
	}
	file := filepath.Join(cfg.Data, auditKeyFile)
	return key, writeKey(file, text, func() error {
		if _, err := os.Lstat(file); err == nil {
			if err := os.Rename(file, file+"."+time.Now().UTC().Format("20060102T150405Z")); err != nil {
				return fmt.Errorf("keep the old key: %w", err)
			}
		}
		return use()
	})
}
