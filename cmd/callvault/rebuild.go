package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"runtime"
	"slices"
	"sync/atomic"

	"callvault/archive"
	"callvault/internal/audit"
	"callvault/internal/call"
	"callvault/internal/config"
	"callvault/internal/store"
	"callvault/webhook"

	"golang.org/x/sync/errgroup"
)

type rebuildCommand struct {
	DespiteFaults bool `help:"Go on where the journal has a gap or a broken segment, with what can be read."`
}

// errRebuilding is what is told while a database is not whole.
func errRebuilding() error {
	return errors.New("the database is being made again, or that was interrupted: run `callvault rebuild` to its end")
}

// rebuilt is what a rebuild came to.
type rebuilt struct {
	store.Rebuilt
	Deliveries int64 `json:"deliveries"`
	Segments   int64 `json:"segments"`
	// Thinned are segments that were written again without requests whose term was
	// over: calls that only those told of are not made again.
	Thinned int64 `json:"thinned"`
	// Adopted are recordings that were archived after the last segment.
	Adopted int64 `json:"adopted"`
	// Missing are the keys of objects that should lie in the vault, Unknown those
	// of objects that belong to no recording: the first of each, and how many.
	Missing      []string `json:"missing"`
	MissingCount int64    `json:"missing_count"`
	Unknown      []string `json:"unknown"`
	UnknownCount int64    `json:"unknown_count"`
	// OldSegments are objects of the journal whose places others have taken: they
	// are deleted when nothing locks them.
	OldSegments int64 `json:"old_segments"`
	// Uncertain are mails of reports that may have been sent after the last
	// segment.
	Uncertain int `json:"uncertain_mails"`
	// Faults are parts of the journal that could not be read.
	Faults []string `json:"faults"`
}

// Run makes the database again.
func (c rebuildCommand) Run(ctx context.Context, g *globals) error {
	cfg, err := g.load()
	if err != nil {
		return err
	}
	decoder, err := webhook.NewDecoder(webhookAccounts(cfg), webhook.Hooks{})
	if err != nil {
		return err
	}
	b := rebuilder{decoder: decoder, thinned: map[int64]bool{}, despiteFaults: c.DespiteFaults, result: rebuilt{Faults: []string{}, Missing: []string{}, Unknown: []string{}}}
	err = withAnyStore(ctx, cfg, func(s *store.Store) (err error) {
		// Only now, for the folder may not have been there. A server that runs
		// on it has a database that is not empty, too.
		lock, err := lockFolder(cfg.Data)
		if err != nil {
			return fmt.Errorf("rebuild needs the database for itself: %w", err)
		}
		defer func() { err = errors.Join(err, lock.Close()) }()
		if b.vault, err = openVault(cfg); err != nil {
			return err
		}
		if closer, ok := b.vault.(io.Closer); ok {
			defer func() { err = errors.Join(err, closer.Close()) }()
		}
		b.store, b.terms = s, objectTerms(cfg, b.vault.Locks() != archive.Unlocked)
		return b.run(ctx, g, cfg)
	})
	if err != nil {
		return err
	}
	if err := g.print(&b.result, b.result.write); err != nil {
		return err
	}
	switch {
	case len(b.result.Faults) > 0:
		return fmt.Errorf("the journal has %s: what they held is lost", counted(len(b.result.Faults), "fault"))
	case b.result.MissingCount > 0:
		return fmt.Errorf("%s that %s archived %s not in the vault", counted(b.result.MissingCount, "recording"), verb(b.result.MissingCount, "was", "were"), verb(b.result.MissingCount, "is", "are"))
	}
	return nil
}

// rebuilder is one run of the command.
type rebuilder struct {
	store         *store.Store
	vault         archive.Vault
	decoder       *webhook.Decoder
	terms         call.Terms
	despiteFaults bool
	// torn: a part of the log is lost, so what comes behind cannot be appended.
	torn bool
	// thinned are the segments that lost requests because their term was over.
	thinned map[int64]bool
	result  rebuilt
}

// rebuildBatch is how many deliveries share a transaction.
const rebuildBatch = 500

func (b *rebuilder) run(ctx context.Context, g *globals, cfg *config.Config) error {
	// First, so that a wrong configuration leaves nothing behind.
	numbers, err := archive.JournalNumbers(ctx, b.vault)
	if err != nil {
		return err
	}
	if len(numbers) == 0 {
		return fmt.Errorf("there is no journal in the %s: nothing to make a database from", vaultKind(cfg))
	}
	last, err := b.store.BeginRebuild(ctx)
	if call.CodeOf(err) == call.Conflict {
		what := "give another one in the configuration's database"
		if cfg.Database == "" {
			what = "move " + storeOptions(cfg).Path + " (and the files -wal and -shm beside it) away"
		}
		return fmt.Errorf("%w; rebuild never changes one that is in use: %s", err, what)
	}
	if err != nil {
		return err
	}
	if last.Number > 0 {
		fmt.Fprintf(g.stderr, "going on after journal segment %d\n", last.Number)
	}
	if err := b.journal(ctx, g, last, int(numbers[len(numbers)-1])); err != nil {
		return err
	}
	if err := b.facts(ctx, g); err != nil {
		return err
	}
	if !b.torn { // else the log is known not to be whole
		if err := b.seals(ctx); err != nil {
			return err
		}
	}
	if err := b.oldSegments(ctx); err != nil {
		return err
	}
	if err := b.reconcile(ctx, g); err != nil {
		return err
	}
	if err := b.doubtMails(ctx, g, cfg); err != nil {
		return err
	}
	if b.result.Rebuilt, err = b.store.EndRebuild(ctx); err != nil {
		return err
	}
	// By which all was read.
	_, err = b.store.BeginVersion(ctx, programVersion())
	return err
}

// doubtMails keeps mails from being sent twice that were sent after the last
// segment.
func (b *rebuilder) doubtMails(ctx context.Context, g *globals, cfg *config.Config) error {
	logger := slog.New(slog.NewTextHandler(g.stderr, &slog.HandlerOptions{Level: slog.LevelWarn}))
	reporter, err := newReporter(cfg, newPeople(cfg, b.store), b.vault, nil, logger)
	if err != nil {
		return fmt.Errorf("set up the reports: %w", err)
	}
	b.result.Uncertain, err = reporter.Doubt(ctx, func(ctx context.Context, prefix string) (bool, error) {
		for _, err := range b.vault.List(ctx, prefix) {
			return err == nil, err
		}
		return false, nil
	})
	if err != nil {
		return fmt.Errorf("look for mails that may have been sent: %w", err)
	}
	return nil
}

// facts makes rows again by the audit log.
func (b *rebuilder) facts(ctx context.Context, g *globals) error {
	if err := b.store.CloseLog(ctx); err != nil {
		return err
	}
	head, err := b.store.AuditHead(ctx)
	if err != nil {
		return err
	}
	shown := newProgress(g.stderr, "audit entries followed")
	done := int64(0)
	defer func() { shown.end(int(done), int(head.Size)) }()
	for done < head.Size {
		next, err := b.store.RebuildFacts(ctx, done)
		if err != nil {
			return err
		}
		if next == done {
			return fmt.Errorf("the audit log ends at entry %d of %d", done, head.Size)
		}
		done = next
		shown.show(int(done), int(head.Size))
	}
	return nil
}

// journal takes in all segments after last. While one is stored the next is
// read, and no more: memory does not depend on how many there are.
func (b *rebuilder) journal(ctx context.Context, g *globals, last call.JournalSegment, total int) error {
	segments := make(chan *archive.Segment)
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error {
		defer close(segments)
		return b.read(ctx, last, segments)
	})
	group.Go(func() error {
		shown := newProgress(g.stderr, "journal segments taken in")
		done := int(last.Number)
		defer func() { shown.end(done, total) }()
		for s := range segments {
			if err := b.take(ctx, s); err != nil {
				return err
			}
			done = int(s.Number)
			shown.show(done, total)
		}
		return nil
	})
	return group.Wait()
}

func (b *rebuilder) read(ctx context.Context, last call.JournalSegment, segments chan<- *archive.Segment) error {
	from := &last
	if last.Number == 0 {
		from = nil
	}
	for s, err := range archive.ReadJournal(ctx, b.vault, from) {
		if fault, ok := errors.AsType[*archive.JournalFaultError](err); ok {
			if !b.despiteFaults {
				return fmt.Errorf("%w; with --despite-faults the rest is taken in all the same", err)
			}
			b.result.Faults = append(b.result.Faults, fault.Error())
		} else if err != nil {
			return err
		}
		if s == nil {
			continue
		}
		select {
		case segments <- s:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return nil
}

// decode lets today's decoder read deliveries, on all processors.
func (b *rebuilder) decode(journaled []*call.JournaledDelivery) []*call.Delivery {
	deliveries := make([]*call.Delivery, len(journaled))
	var next atomic.Int64
	var group errgroup.Group
	for range runtime.GOMAXPROCS(0) {
		group.Go(func() error {
			for {
				i := int(next.Add(1)) - 1
				if i >= len(deliveries) {
					return nil
				}
				d := journaled[i].Delivery
				// A rebuild that was interrupted may have it.
				d.MayBeStored = true
				b.decoder.Decode(&d)
				d.Prepare()
				// Of a body from which something was erased, that of the whole one.
				d.BodySHA256 = journaled[i].BodySHA256
				deliveries[i] = &d
			}
		})
	}
	_ = group.Wait() // they cannot fail
	return deliveries
}

// take stores a segment.
func (b *rebuilder) take(ctx context.Context, g *archive.Segment) error {
	if err := b.takeDeliveries(ctx, g.Deliveries); err != nil {
		return fmt.Errorf("journal segment %d: %w", g.Number, err)
	}
	head, err := b.store.AuditHead(ctx)
	if err != nil {
		return err
	}
	b.torn = b.torn || g.EntriesFrom > head.Size
	if !b.torn {
		if err := b.store.RebuildEntries(ctx, g.Entries); err != nil {
			return fmt.Errorf("journal segment %d: %w", g.Number, err)
		}
	}
	if err := b.store.RebuildSegment(ctx, g.JournalSegment); err != nil {
		return err
	}
	b.result.Deliveries += int64(len(g.Deliveries))
	b.result.Segments++
	return b.noteThinned(g.Entries)
}

// noteThinned counts the segments of which entries say that their term was over.
func (b *rebuilder) noteThinned(entries []audit.Entry) error {
	for _, e := range entries {
		if e.Action != audit.JournalRewritten {
			continue
		}
		var again call.JournalRewrite
		if err := json.Unmarshal(e.Facts, &again); err != nil {
			return fmt.Errorf("audit entry %d: %w", e.Seq, err)
		}
		if again.Why == call.RewrittenByTerm && !b.thinned[again.Number] {
			b.thinned[again.Number] = true
			b.result.Thinned++
		}
	}
	return nil
}

// takeDeliveries stores deliveries in batches. While one is stored the next is
// decoded: what they hold takes many times the memory of their text.
func (b *rebuilder) takeDeliveries(ctx context.Context, journaled []*call.JournaledDelivery) error {
	type batch struct {
		journaled  []*call.JournaledDelivery
		deliveries []*call.Delivery
	}
	batches := make(chan batch)
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error {
		defer close(batches)
		for part := range slices.Chunk(journaled, rebuildBatch) {
			select {
			case batches <- batch{part, b.decode(part)}:
			case <-ctx.Done():
				return ctx.Err()
			}
		}
		return nil
	})
	group.Go(func() error {
		o := store.RebuildOptions{LiveMaxAge: liveMaxAge}
		for p := range batches {
			if err := b.store.RebuildDeliveries(ctx, p.deliveries, p.journaled, o); err != nil {
				return err
			}
		}
		return nil
	})
	return group.Wait()
}

// write shows the result to people.
func (r *rebuilt) write(w io.Writer) {
	for _, fault := range slices.Compact(slices.Clone(r.Faults)) {
		fmt.Fprintln(w, fault)
	}
	list := func(what string, keys []string, count int64) {
		if count == 0 {
			return
		}
		fmt.Fprintf(w, "%d %s:\n", count, what)
		for _, key := range keys {
			fmt.Fprintln(w, "  "+key)
		}
		if more := count - int64(len(keys)); more > 0 {
			fmt.Fprintf(w, "  and %d more\n", more)
		}
	}
	list("recordings that were archived are not in the vault", r.Missing, r.MissingCount)
	list("objects in the vault belong to no recording (their call reports came after the last journal segment; ask the provider for them with `callvault backfill`)", r.Unknown, r.UnknownCount)
	if r.Adopted > 0 {
		fmt.Fprintf(w, "%s had been archived after the last journal segment, and %s known again.\n", counted(r.Adopted, "recording"), verb(r.Adopted, "is", "are"))
	}
	if r.OldSegments > 0 {
		fmt.Fprintf(w, "%s of the journal, whose places others have taken, %s deleted by the server as soon as nothing locks %s.\n",
			counted(r.OldSegments, "old object"), verb(r.OldSegments, "is", "are"), verb(r.OldSegments, "it", "them"))
	}
	fmt.Fprintf(w, "Made again from %s with %s: %s, %s, %s.\n", counted(r.Segments, "journal segment"), counted(r.Deliveries, "delivery"),
		counted(r.Calls, "call"), counted(r.Legs, "leg"), counted(r.Recordings, "recording"))
	if r.Thinned > 0 {
		fmt.Fprintf(w, "%s told nothing any more of requests whose term was over (retention.journal): calls that only those told of are not made again.\n", counted(r.Thinned, "journal segment"))
	}
	fmt.Fprintln(w, "Users, tokens and logins are not in the vault: make them with `callvault user add` and `callvault token add`, or take them from a backup.")
}
