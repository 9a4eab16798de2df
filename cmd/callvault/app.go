package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"time"

	"callvault/archive"
	"callvault/internal/audit"
	"callvault/internal/call"
	"callvault/internal/config"
	"callvault/internal/console"
	"callvault/internal/export"
	"callvault/internal/store"
	"callvault/internal/watch"
	"callvault/reports"
	"callvault/webhook"

	"github.com/prometheus/client_golang/prometheus"
	"golang.org/x/sync/errgroup"
)

// app is the running program: it wires the rooms together and is the only
// place that knows them all.
type app struct {
	config   *config.Config
	logger   *slog.Logger
	registry *prometheus.Registry
	listener net.Listener
	lock     *os.File
	vault    archive.Vault
	receiver *webhook.Receiver
	drift    *webhook.DriftWatch
	gate     *gate
	// strangers are counted for the audit log from the first request on.
	strangers audit.Strangers
	// rest answers what is not a webhook, once the database is open.
	rest atomic.Pointer[http.Handler]

	// greet, if set, is called when the database is open, before anything
	// else is done with it.
	greet func(context.Context, *store.Store) error

	// Set once the database is open.
	store      *store.Store
	archiver   *archive.Archiver
	analyser   *archive.Analyser
	holds      *archive.HoldKeeper
	sweeper    *archive.Sweeper
	retainer   *archive.Retainer
	sealer     *archive.Sealer
	journal    *archive.Journal
	reporter   *reports.Reporter
	exporter   *export.Runner
	console    *console.Console
	watcher    *watch.Watcher
	scrubber   *archive.Scrubber // nil: it is switched off
	vaultEye   *vaultWatch
	journalEye *journalWatch
	storageEye *storageWatch
	people     *people
	members    map[string]*webhook.MemberList
	backfill   *webhook.Backfiller
	// opened is closed when they are.
	opened chan struct{}
}

// How long the parts of a start and an end may take.
const (
	openTimeout = 10 * time.Second
	reopenEvery = 5 * time.Second
	// bodyTime is how long a client may take to send a request's body; the
	// webhook allows less.
	bodyTime        = 30 * time.Second
	shutdownTimeout = 20 * time.Second
	// journalTimeout bounds what is written to the journal at the end: a vault
	// that does not answer must not keep a node from ending.
	journalTimeout = 10 * time.Second
	endLogTimeout  = 5 * time.Second
	liveMaxAge     = 4 * time.Hour
)

// newApp opens everything but the database: a database that does not answer
// must not keep webhooks from being taken.
func newApp(ctx context.Context, c *config.Config, logger *slog.Logger) (_ *app, err error) {
	for _, folder := range []string{c.Data, filepath.Join(c.Data, "spool")} {
		if err := os.MkdirAll(folder, 0o700); err != nil {
			return nil, fmt.Errorf("make the data folder: %w", err)
		}
	}
	a := &app{config: c, logger: logger, registry: newRegistry(), opened: make(chan struct{})}
	a.gate = &gate{app: a}
	defer func() {
		if err != nil {
			err = errors.Join(err, a.close())
		}
	}()
	if a.lock, err = lockFolder(c.Data); err != nil {
		return nil, err
	}
	if a.vault, err = openVault(c); err != nil {
		return nil, err
	}
	a.drift = webhook.NewDriftWatch(webhook.DriftOptions{
		Accounts: watchedAccounts(c), Store: a.gate, Now: time.Now, Logger: logger, Found: driftFound(a.registry),
	})
	a.receiver, err = webhook.New(webhook.Options{
		Accounts: webhookAccounts(c),
		Store:    a.gate,
		Batches:  store.Writers(c.Database.Reveal()),
		Spool:    filepath.Join(c.Data, "spool", "deliveries"),
		Now:      time.Now,
		Logger:   logger,
		Hooks:    webhookHooks(a.registry, a.drift, &a.strangers),
	})
	if err != nil {
		return nil, fmt.Errorf("set up the webhook: %w", err)
	}
	a.listener, err = new(net.ListenConfig).Listen(ctx, "tcp", c.Listen)
	if err != nil {
		return nil, fmt.Errorf("listen on %s (give another address with --listen): %w", c.Listen, err)
	}
	return a, nil
}

// url is where the program answers on this machine.
func (a *app) url() string {
	c := *a.config
	c.Listen = a.listener.Addr().String()
	return serverURL(&c)
}

// run serves until ctx ends, then lets what is under way come to an end.
func (a *app) run(ctx context.Context) (err error) {
	defer func() { err = errors.Join(err, a.close()) }()
	// What it does from here on it does by itself, whoever has started it.
	ctx = audit.By(ctx, audit.Actor{Kind: audit.KindSystem})
	openErr := a.open(ctx)
	if openErr != nil && call.CodeOf(openErr) != call.Unavailable {
		return errors.Join(openErr, a.listener.Close())
	}
	server := &http.Server{
		Handler:           a.handler(),
		ReadHeaderTimeout: 10 * time.Second,
		IdleTimeout:       2 * time.Minute,
		ErrorLog:          slog.NewLogLogger(a.logger.Handler(), slog.LevelDebug),
	}
	// Streams last until somebody ends them; Shutdown would wait for them.
	server.RegisterOnShutdown(func() {
		select {
		case <-a.opened:
			a.console.EndStreams()
		default:
		}
	})
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error { return a.serve(server) })
	group.Go(func() error {
		<-ctx.Done()
		limit, cancel := context.WithTimeout(context.WithoutCancel(ctx), shutdownTimeout)
		defer cancel()
		if err := server.Shutdown(limit); err != nil {
			return errors.Join(fmt.Errorf("let requests come to an end: %w", err), server.Close())
		}
		return nil
	})
	group.Go(func() error { a.receiver.Run(ctx); return nil })
	group.Go(func() error { collectLess(ctx, a.receiver.Busy); return nil })
	group.Go(func() error { a.drift.Run(ctx); return nil })
	group.Go(func() error {
		if openErr != nil {
			a.logger.ErrorContext(ctx, "the database does not answer; deliveries go to the spool until it does", "url", a.url(), "error", openErr)
			if err := a.openLater(ctx); err != nil {
				return err
			}
		}
		if a.store == nil {
			return nil // ended before the database came
		}
		group.Go(func() error { a.archiver.Run(ctx); return nil })
		group.Go(func() error { a.retainer.Run(ctx); return nil })
		if a.sealer != nil {
			group.Go(func() error { a.sealer.Run(ctx); return nil })
		}
		if a.config.Archive.Analyse {
			group.Go(func() error { a.analyser.Run(ctx); return nil })
		}
		group.Go(func() error { a.journal.Run(ctx); return nil })
		group.Go(func() error { return ended(a.reporter.Run(ctx)) })
		if a.exporter != nil {
			group.Go(func() error { a.exporter.Run(ctx); return nil })
		}
		group.Go(func() error { a.console.RunLooks(ctx); return nil })
		group.Go(func() error { a.forgetLiveCalls(ctx); return nil })
		group.Go(func() error { a.forgetSessions(ctx); return nil })
		group.Go(func() error { a.vaultEye.run(ctx); return nil })
		group.Go(func() error { a.journalEye.run(ctx); return nil })
		group.Go(func() error { a.storageEye.run(ctx); return nil })
		group.Go(func() error { a.holds.Run(ctx); return nil })
		group.Go(func() error { a.sweeper.Run(ctx); return nil })
		group.Go(func() error {
			newEraser(a.config, a.store, a.vault, a.sealer, a.journal.Write, a.logger).Run(ctx)
			return nil
		})
		group.Go(func() error { a.watcher.Run(ctx); return nil })
		if a.scrubber != nil {
			group.Go(func() error { a.scrubber.Run(ctx); return nil })
		}
		group.Go(func() error { a.people.run(ctx, a.members, a.logger); return nil })
		group.Go(func() error {
			a.backfill.Run(ctx, backfillPlans(a.config), a.store, countBackfills(a.registry))
			return nil
		})
		return nil
	})
	err = group.Wait()
	// The journal takes in what is logged last, and the seal covers both.
	err = errors.Join(err, a.endLooks(ctx))
	a.endJournal(ctx)
	a.endSeal(ctx)
	return err
}

// endLooks writes what was looked at last into the audit log.
func (a *app) endLooks(ctx context.Context) error {
	if a.console == nil {
		return nil
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), endLogTimeout)
	defer cancel()
	if err := a.console.FlushLooks(ctx); err != nil {
		return fmt.Errorf("write the last searches into the audit log: %w", err)
	}
	return nil
}

// endSeal seals the log as it is at the end.
func (a *app) endSeal(ctx context.Context) {
	if a.sealer == nil {
		return
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), endLogTimeout)
	defer cancel()
	if _, err := a.sealer.Seal(ctx); err != nil {
		a.logger.WarnContext(ctx, "the audit log could not be sealed at the end; the next start does it", "error", err)
	}
}

// endJournal writes what the journal does not have yet. What it could not write
// the next node to start writes.
func (a *app) endJournal(ctx context.Context) {
	if a.journal == nil {
		return
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), journalTimeout)
	defer cancel()
	if err := a.journal.Flush(ctx); err != nil {
		a.logger.WarnContext(ctx, "the end of the journal could not be written; the next start does it", "error", err)
	}
}

// ended makes of the end of ctx no error.
func ended(err error) error {
	if errors.Is(err, context.Canceled) {
		return nil
	}
	return err
}

func (a *app) serve(server *http.Server) error {
	var err error
	if tls := a.config.TLS; tls.CertFile != "" {
		err = server.ServeTLS(a.listener, tls.CertFile, tls.KeyFile)
	} else {
		err = server.Serve(a.listener)
	}
	if errors.Is(err, http.ErrServerClosed) {
		return nil
	}
	return fmt.Errorf("serve: %w", err)
}

// close closes whatever is open.
func (a *app) close() error {
	var errs []error
	if a.receiver != nil {
		errs = append(errs, a.receiver.Close())
	}
	if a.store != nil {
		errs = append(errs, a.store.Close())
	}
	if closer, ok := a.vault.(io.Closer); ok {
		errs = append(errs, closer.Close())
	}
	if a.lock != nil {
		errs = append(errs, a.lock.Close())
	}
	return errors.Join(errs...)
}

// open opens the database and what works on it.
func (a *app) open(ctx context.Context) error {
	limit, cancel := context.WithTimeout(ctx, openTimeout)
	defer cancel()
	options := storeOptions(a.config)
	options.Logger = a.logger
	s, err := store.Open(limit, options)
	if err != nil && limit.Err() != nil && ctx.Err() == nil {
		// Busy, not broken: it is tried again.
		return errors.Join(call.Errorf(call.Unavailable, "the database took too long"), err)
	}
	if err != nil {
		return err
	}
	if err := a.build(ctx, s); err != nil {
		return errors.Join(err, s.Close())
	}
	return nil
}

// openLater tries until the database answers or ctx ends.
func (a *app) openLater(ctx context.Context) error {
	tick := time.NewTicker(reopenEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
		err := a.open(ctx)
		if err == nil {
			a.logger.InfoContext(ctx, "the database answers")
			return nil
		}
		if ctx.Err() == nil && call.CodeOf(err) != call.Unavailable {
			return err
		}
	}
}

func (a *app) build(ctx context.Context, s *store.Store) error {
	if rebuilding, err := s.IsRebuilding(ctx); err != nil {
		return err
	} else if rebuilding {
		return errRebuilding()
	}
	if a.greet != nil {
		// What is begun there is ended: a password is shown but once.
		if err := a.greet(context.WithoutCancel(ctx), s); err != nil {
			return err
		}
	}
	a.people = newPeople(a.config, s)
	if err := a.people.load(ctx); err != nil {
		a.logger.WarnContext(ctx, "the names of members could not be loaded; it is tried again", "error", err)
	}
	var err error
	if a.members, err = memberLists(a.config); err != nil {
		return fmt.Errorf("set up the lists of members: %w", err)
	}
	terms := objectTerms(a.config, a.vault.Locks() != archive.Unlocked)
	tellTerms(ctx, terms, a.logger)
	rules := retentionRules(a.config, a.vault.Locks() != archive.Unlocked, a.people.roster.Load)
	if a.retainer, err = newRetainer(a.config, s, a.vault, rules, a.registry, a.logger); err != nil {
		return fmt.Errorf("set up retention: %w", err)
	}
	a.archiver, err = newArchiver(a.config, s, a.vault, rules, a.receiver.Busy, a.registry, a.logger)
	if err != nil {
		return fmt.Errorf("set up the archive: %w", err)
	}
	a.analyser, err = archive.NewAnalyser(archive.AnalyserOptions{
		Store: s, Vault: a.vault, Logger: a.logger, Metrics: a.registry,
		Idle: func() bool { return !a.receiver.Busy() && a.archiver.Idle() },
	})
	if err != nil {
		return fmt.Errorf("set up the analyser: %w", err)
	}
	a.holds = archive.NewHoldKeeper(archive.HoldKeeperOptions{Store: s, Vault: a.vault, Expand: a.people.expand, Logger: a.logger})
	a.sweeper = archive.NewSweeper(archive.SweeperOptions{Store: s, Vault: a.vault, Wake: a.archiver.Wake, Now: time.Now, Logger: a.logger})
	if a.sealer, err = newSealer(ctx, a.config, s, a.vault, a.logger); err != nil {
		return fmt.Errorf("set up the audit log: %w", err)
	}
	node, err := folderID(a.lock)
	if err != nil {
		return err
	}
	a.journal, err = archive.NewJournal(archive.JournalOptions{
		Store: s, Vault: a.vault, Until: promiser(terms, call.SegmentObjects), Token: node, Now: time.Now, Logger: a.logger, Metrics: a.registry,
	})
	if err != nil {
		return fmt.Errorf("set up the journal: %w", err)
	}
	a.reporter, err = newReporter(a.config, a.people, a.vault, a.sealer, a.logger)
	if err != nil {
		return fmt.Errorf("set up the reports: %w", err)
	}
	a.vaultEye = newVaultWatch(a.vault, time.Now, a.registry, a.logger)
	a.storageEye = newStorageWatch(a.config, s, a.retainer, time.Now(), a.registry, a.logger)
	a.journalEye = newJournalWatch(s, a.vault, a.registry, a.logger)
	conditions := allConditions(a.vaultEye.conditions, faultConditions(s, a.logger), a.journalEye.conditions, a.storageEye.conditions,
		reportConditions(a.reporter, a.logger))
	a.watcher, err = newWatcher(a.config, s, conditions, time.Now, a.registry, a.logger)
	if err != nil {
		return fmt.Errorf("set up the watch: %w", err)
	}
	a.backfill, err = newBackfiller(a.config, listStore{s, a.gate}, a.logger)
	if err != nil {
		return fmt.Errorf("set up the backfill: %w", err)
	}
	if _, err := s.BeginVersion(ctx, programVersion()); err != nil {
		return err
	}
	a.scrubber, err = newScrubber(a.config, s, a.vault, a.receiver.Busy, a.registry, a.logger)
	if err != nil {
		return fmt.Errorf("set up the scrub: %w", err)
	}
	registerQueue(a.registry, s, a.receiver, a.logger)
	registerFaults(a.registry, s, a.logger)
	exportChanged := func() {}
	if a.exporter, err = newExporter(ctx, a.config, a.people, a.vault, a.logger); err != nil {
		return fmt.Errorf("set up exports: %w", err)
	}
	if a.exporter != nil {
		exportChanged = a.exporter.Wake
	}
	a.console = console.New(console.Options{
		Store:    a.people,
		Vault:    vaultRooms{a.vault},
		Retainer: a.retainer,
		Registry: a.registry,
		Ready:    a.ready,
		Notices:  a.journalEye.notices,
		Logger:   a.logger,
		Now:      time.Now,
		Version:  programVersion(),
		Accounts: consoleAccounts(a.config),

		PublicURL:    a.config.PublicURL,
		ReportGroups: reportGroups(reportsOf(a.config)),

		Strangers: &a.strangers,

		TwoPerson: a.config.Holds.TwoPerson,
		Locks:     a.vault.Locks() != archive.Unlocked,

		ExportChanged: exportChanged,
	})
	rest := a.console.Handler()
	a.store = s
	a.gate.store.Store(s)
	a.rest.Store(&rest)
	close(a.opened)
	a.logger.InfoContext(ctx, "Callvault is ready", "url", a.url(), "database", s.Kind(), "vault", vaultKind(a.config), "accounts", len(a.config.Accounts), "version", programVersion())
	return nil
}

// handler answers webhooks at once, and all else when the database is open.
func (a *app) handler() http.Handler {
	hooks := a.receiver.Handler()
	all := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if strings.HasPrefix(r.URL.Path, "/webhook/") {
			hooks.ServeHTTP(w, r)
			return
		}
		if rest := a.rest.Load(); rest != nil {
			(*rest).ServeHTTP(w, r)
			return
		}
		if r.URL.Path == "/healthz" {
			w.WriteHeader(http.StatusOK)
			return
		}
		w.Header().Set("Retry-After", "5")
		http.Error(w, "The database does not answer. Call reports are taken and kept on disk meanwhile.", http.StatusServiceUnavailable)
	})
	logged := console.AccessLog(console.Recover(console.SecurityHeaders(all), a.logger), a.logger)
	return console.SlowBodies(console.ClientAddress(logged, a.config.TrustedProxies), bodyTime)
}

// ready asks each part for /readyz.
func (a *app) ready(ctx context.Context) map[string]error {
	return map[string]error{"database": a.store.Ping(ctx), "queue": a.store.QueueAnswers(ctx), "vault": a.vault.Check(ctx)}
}

func (a *app) forgetLiveCalls(ctx context.Context) {
	tick := time.NewTicker(time.Minute)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		if n, err := a.store.ForgetLiveCalls(ctx, liveMaxAge); err != nil && ctx.Err() == nil {
			a.logger.WarnContext(ctx, "old live calls could not be forgotten", "error", err)
		} else if n > 0 {
			a.logger.InfoContext(ctx, "live calls without a report forgotten", "calls", n)
		}
	}
}

// forgetSessions deletes logins that are over: at the start, and hourly.
func (a *app) forgetSessions(ctx context.Context) {
	tick := time.NewTicker(time.Hour)
	defer tick.Stop()
	for {
		if _, err := a.store.ForgetSessions(ctx); err != nil && ctx.Err() == nil {
			a.logger.WarnContext(ctx, "logins that are over could not be forgotten", "error", err)
		}
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

// gate is the store as the webhook sees it: not there until it is open, and
// waking the archive when something new came in.
type gate struct {
	app   *app
	store atomic.Pointer[store.Store]
}

// errNotOpen is what is told while the database has not been opened.
func errNotOpen() error { return call.Errorf(call.Unavailable, "the database does not answer") }

// NoteSightings implements webhook.DriftStore.
func (g *gate) NoteSightings(ctx context.Context, seen call.Sightings) ([]call.Drift, error) {
	s := g.store.Load()
	if s == nil {
		return nil, errNotOpen()
	}
	return s.NoteSightings(ctx, seen)
}

// Record implements webhook.Store.
func (g *gate) Record(ctx context.Context, batch []*call.Delivery) error {
	s := g.store.Load()
	if s == nil {
		return errNotOpen()
	}
	if err := s.Record(ctx, batch); err != nil {
		return err
	}
	g.app.archiver.Wake()
	return nil
}
