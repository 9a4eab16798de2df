package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"time"

	"callvault/internal/audit"
	"callvault/internal/call"
	"callvault/internal/store"
	"callvault/webhook"
)

type importCommand struct {
	Account string   `required:"" help:"The account that the reports belong to."`
	DryRun  bool     `help:"Show which calls would change, and store nothing."`
	Files   []string `arg:"" name:"file" help:"Files of JSON, JSON lines or form lines; - is standard input."`
}

// importBatch is how many deliveries share a transaction: enough to be fast,
// few enough that a running server does not wait.
const importBatch = 256

// imported counts what became of an import.
type imported struct {
	Deliveries int64 `json:"deliveries"`
	Recorded   int64 `json:"recorded"`
	Duplicate  int64 `json:"duplicate"`
	Ignored    int64 `json:"ignored"`
	Unreadable int64 `json:"unreadable"`
}

// rehearsed is what would become of an import.
type rehearsed struct {
	imported
	DryRun bool `json:"dry_run"`
	changes
}

// Run imports files.
func (c importCommand) Run(ctx context.Context, g *globals) error {
	cfg, err := g.load()
	if err != nil {
		return err
	}
	if _, ok := cfg.Account(c.Account); !ok {
		return fmt.Errorf("there is no account named %q in the configuration", c.Account)
	}
	decoder, err := webhook.NewDecoder(webhookAccounts(cfg), webhook.Hooks{})
	if err != nil {
		return err
	}
	logger := slog.New(slog.NewTextHandler(g.stderr, &slog.HandlerOptions{Level: slog.LevelWarn}))
	if c.DryRun {
		if err := hasStore(cfg); err != nil {
			return err // it would be made
		}
	}
	total := rehearsed{DryRun: c.DryRun, changes: changes{Calls: []call.CallChange{}}}
	err = withStore(ctx, cfg, func(s *store.Store) (err error) {
		defer func() {
			if total.Deliveries > 0 {
				err = errors.Join(err, noteAct(ctx, s, audit.DeliveriesImported, "account/"+c.Account, struct {
					imported
					Files  []string `json:"files"`
					DryRun bool     `json:"dry_run,omitempty"`
				}{total.imported, c.Files, c.DryRun}))
			}
		}()
		var into webhook.Store = s
		if c.DryRun {
			into = rehearsal{s, &total.changes}
		}
		for _, name := range c.Files {
			if err := c.file(ctx, g, into, decoder, name, &total.imported, logger); err != nil {
				return fmt.Errorf("import %s: %w", name, err)
			}
		}
		return nil
	})
	if total.Deliveries > 0 || err == nil {
		var result any = total.imported
		if c.DryRun {
			result = &total
		}
		err = errors.Join(err, g.print(result, total.write))
	}
	if err == nil && total.Unreadable > 0 {
		if c.DryRun {
			return fmt.Errorf("%s cannot be read", counted(total.Unreadable, "delivery"))
		}
		return fmt.Errorf("%s could not be read; kept, and listed by /api/v1/deliveries?outcome=unreadable", counted(total.Unreadable, "delivery"))
	}
	return err
}

// write shows the result to people.
func (t *rehearsed) write(w io.Writer) {
	t.changes.write(w)
	fmt.Fprintf(w, "%s: %d recorded, %d duplicate, %d ignored, %d unreadable.\n",
		counted(t.Deliveries, "delivery"), t.Recorded, t.Duplicate, t.Ignored, t.Unreadable)
	if t.DryRun {
		fmt.Fprintf(w, "%s would be changed. Nothing was stored.\n", counted(t.Changed, "call"))
	}
}

func (c importCommand) file(ctx context.Context, g *globals, s webhook.Store, decoder *webhook.Decoder, name string, total *imported, logger *slog.Logger) (err error) {
	in := g.stdin
	if name != "-" {
		f, err := os.Open(name)
		if err != nil {
			return err
		}
		defer func() { err = errors.Join(err, f.Close()) }()
		in = f
	}
	shown := newProgress(g.stderr, "deliveries imported")
	defer func() { shown.end(int(total.Deliveries), 0) }()
	batch := make([]*call.Delivery, 0, importBatch)
	store := func() error {
		if err := webhook.Record(ctx, s, logger, batch); err != nil {
			return err
		}
		for _, d := range batch {
			total.add(d.Outcome, 1)
		}
		batch = batch[:0]
		shown.show(int(total.Deliveries), 0)
		return nil
	}
	var passed error
	for d, err := range decoder.DecodeFile(c.Account, time.Now(), in) {
		if err != nil {
			passed = errors.Join(passed, err)
			continue
		}
		if batch = append(batch, d); len(batch) == importBatch {
			if err := store(); err != nil {
				return err
			}
		}
	}
	return errors.Join(store(), passed)
}

func (t *imported) add(o call.DeliveryOutcome, n int64) {
	t.Deliveries += n
	switch o {
	case call.Recorded:
		t.Recorded += n
	case call.Duplicate:
		t.Duplicate += n
	case call.Ignored:
		t.Ignored += n
	case call.Unreadable:
		t.Unreadable += n
	}
}

// rehearsal is a store in which nothing is recorded. It looks at one lot of
// deliveries after the other, each as if it were the first.
type rehearsal struct {
	store *store.Store
	noted *changes
}

// Record implements webhook.Store.
func (r rehearsal) Record(ctx context.Context, batch []*call.Delivery) error {
	changed, err := r.store.Rehearse(ctx, batch)
	r.noted.note(changed)
	return err
}
