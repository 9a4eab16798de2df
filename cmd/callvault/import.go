package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"time"

	"callvault/internal/call"
	"callvault/internal/store"
	"callvault/webhook"
)

type importCommand struct {
	Account string   `required:"" help:"The account that the reports belong to."`
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
	var total imported
	err = withStore(ctx, cfg, func(s *store.Store) error {
		for _, name := range c.Files {
			if err := c.file(ctx, g, s, decoder, name, &total, logger); err != nil {
				return fmt.Errorf("import %s: %w", name, err)
			}
		}
		return nil
	})
	if total.Deliveries > 0 || err == nil {
		err = errors.Join(err, g.print(total, func(w io.Writer) {
			fmt.Fprintf(w, "%d deliveries: %d recorded, %d duplicate, %d ignored, %d unreadable.\n",
				total.Deliveries, total.Recorded, total.Duplicate, total.Ignored, total.Unreadable)
		}))
	}
	if err == nil && total.Unreadable > 0 {
		return fmt.Errorf("%d deliveries could not be read; they are kept, and listed by /api/v1/deliveries?outcome=unreadable", total.Unreadable)
	}
	return err
}

func (c importCommand) file(ctx context.Context, g *globals, s *store.Store, decoder *webhook.Decoder, name string, total *imported, logger *slog.Logger) (err error) {
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
			total.add(d.Outcome)
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

func (t *imported) add(o call.DeliveryOutcome) {
	t.Deliveries++
	switch o {
	case call.Recorded:
		t.Recorded++
	case call.Duplicate:
		t.Duplicate++
	case call.Ignored:
		t.Ignored++
	case call.Unreadable:
		t.Unreadable++
	}
}
