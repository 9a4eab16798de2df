package main

import (
	"cmp"
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"callvault/internal/call"
	"callvault/internal/config"
	"callvault/internal/simulator"
	"callvault/internal/store"
	"callvault/reports"

	"golang.org/x/sync/errgroup"
)

type demoCommand struct {
	Listen string `help:"The address to listen on (default 127.0.0.1:8080)." placeholder:"ADDR"`
	Calls  int    `default:"300" help:"How many calls the day has."`
	Seed   uint64 `default:"1" help:"Another number makes another day."`
	Exit   bool   `help:"End when all is done, and print a summary."`
}

// What the demo is made of.
const (
	demoAppID     = 2222223
	demoRecipient = "manager@example.org"
	// demoGiveUp is short, so that the recording that is for ever an error
	// page ends as absent while somebody watches.
	demoGiveUp = 20 * time.Second
	// demoLater is how often at most a recording is not there yet.
	demoLater = 2
	demoPace  = 100 * time.Millisecond
	// demoRate lets the day pass in a few seconds, not in none.
	demoRate = 200
)

// Run plays a past day.
func (c demoCommand) Run(ctx context.Context, g *globals) error {
	if c.Calls < 1 || c.Calls > 1_000_000 {
		return usagef("--calls must be from 1 to 1000000")
	}
	began := time.Now()
	cfg, mark, err := g.loadForDemo(ctx, c.Listen)
	if err != nil {
		return err
	}
	provider, err := startProvider(ctx, mark.Provider)
	if err != nil {
		return err
	}
	defer provider.stop()
	report, err := demoConfig(cfg, provider)
	if err != nil {
		return err
	}
	if err := writeDemo(cfg.Data, demoMark{provider.address}); err != nil {
		return err
	}
	date := time.Now().In(report.TimeZone.Location).AddDate(0, 0, -1)
	day, err := c.day(cfg, provider, date, report.TimeZone.Location)
	if err != nil {
		return err
	}
	if c.Exit {
		// What is counted at the end are the webhooks alone.
		for i := range cfg.Accounts {
			cfg.Accounts[i].Backfill.Every = 0
		}
	}
	provider.serve(day)

	logger := slog.New(slog.NewTextHandler(g.stderr, &slog.HandlerOptions{Level: slog.LevelWarn}))
	a, err := newApp(ctx, cfg, logger)
	if err != nil {
		return err
	}
	runCtx, stop := context.WithCancel(ctx)
	group, runCtx := errgroup.WithContext(runCtx)
	group.Go(func() error { return a.run(runCtx) })
	group.Go(func() error {
		if c.Exit {
			defer stop()
		}
		select {
		case <-a.opened:
		case <-runCtx.Done():
			return runCtx.Err()
		}
		summary, err := c.play(runCtx, g, a, day, report.Name, date)
		if err != nil {
			return err
		}
		summary.Seconds = time.Since(began).Round(10 * time.Millisecond).Seconds()
		if err := g.print(summary, func(w io.Writer) { summary.write(w, cfg) }); err != nil {
			return err
		}
		// Not before its password can be shown: after a demo that is broken off
		// the next start makes it.
		password, err := makeAdmin(runCtx, a.store)
		if err != nil {
			return fmt.Errorf("make the first user: %w", err)
		}
		if !c.Exit {
			return g.demoGoesOn(runCtx, a, password)
		}
		if password != "" {
			fmt.Fprintf(g.stderr, "The first user is %s, with the password %s (shown this once).\n", adminName, password)
		}
		return nil
	})
	err = group.Wait()
	stop()
	if ctx.Err() != nil && errors.Is(err, context.Canceled) {
		return nil // the demo was ended by the one who watched it
	}
	return err
}

// day makes the day that is played.
func (c demoCommand) day(cfg *config.Config, p *provider, date time.Time, zone *time.Location) (*simulator.Day, error) {
	o := simulator.Options{
		Seed: c.Seed, Calls: c.Calls, Date: date, Zone: zone, AppID: demoAppID,
		RecordingURL: "http://" + p.address, Later: demoLater,
	}
	for _, a := range cfg.Accounts {
		switch {
		case a.Drill:
		case a.Provider == config.CallerDesk:
			o.CallerDesk = cmp.Or(o.CallerDesk, a.Name)
		case a.Provider == config.TeleCMI:
			o.TeleCMI = cmp.Or(o.TeleCMI, a.Name)
		}
	}
	return simulator.NewDay(o)
}

// demoSummary is what a demo has done.
type demoSummary struct {
	Deliveries int64           `json:"deliveries"`
	Calls      int64           `json:"calls"`
	Recordings demoRecordings  `json:"recordings"`
	Report     demoReport      `json:"report"`
	Mail       []string        `json:"mail"`
	Seconds    float64         `json:"seconds"`
	Run        *reports.Result `json:"-"`
}

type demoRecordings struct {
	Archived int64 `json:"archived"`
	Absent   int64 `json:"absent"`
	Refused  int64 `json:"refused"`
	Pending  int64 `json:"pending"`
}

type demoReport struct {
	Name  string   `json:"name"`
	Date  string   `json:"date"`
	Files []string `json:"files"`
}

// play posts the day, waits until its recordings are settled, and builds and
// mails its report.
func (c demoCommand) play(ctx context.Context, g *globals, a *app, day *simulator.Day, report string, date time.Time) (*demoSummary, error) {
	fmt.Fprintf(g.stderr, "Callvault runs at %s; a past day of %d calls arrives from two providers.\n", a.url(), len(day.Conversations))
	posting := newProgress(g.stderr, "call reports received")
	player := &simulator.Player{
		URL: func(account string) string {
			acc, _ := a.config.Account(account)
			return a.url() + "/webhook/" + account + "/" + acc.Token.Reveal()
		},
		Client:      demoClient(),
		Concurrency: 16,
		Rate:        max(demoRate, float64(len(day.Events))/20),
		Progress:    posting.show,
	}
	sent, err := player.Play(ctx, day.Events)
	if err != nil {
		return nil, fmt.Errorf("play the day: %w", err)
	}
	posting.end(len(day.Events), len(day.Events))
	if sent.Accepted != sent.Sent {
		return nil, fmt.Errorf("play the day: %d of %d call reports were not taken (by status: %v)", sent.Sent-sent.Accepted, sent.Sent, sent.Refused)
	}
	stats, err := g.settle(ctx, a)
	if err != nil {
		return nil, err
	}
	fmt.Fprintln(g.stderr, "report: building and mailing")
	built, err := a.reporter.Build(ctx, report, date, reports.BuildOptions{Out: filepath.Join(a.config.Data, "reports"), Send: true})
	if err != nil {
		return nil, fmt.Errorf("build the report: %w", err)
	}
	s := &demoSummary{
		Recordings: demoRecordings{Archived: stats.Archived, Absent: stats.Absent, Refused: stats.Refused, Pending: stats.Pending},
		Report:     demoReport{Name: report, Date: date.Format(time.DateOnly), Files: built.Files},
		Mail:       []string{},
		Run:        &built,
	}
	counts, err := a.store.DeliveryCounts(ctx, call.DeliveryFilter{})
	if err != nil {
		return nil, err
	}
	for _, n := range counts {
		s.Deliveries += n
	}
	if s.Calls, err = a.store.CountCalls(ctx, call.Filter{}); err != nil {
		return nil, err
	}
	s.Mail, err = writtenMails(a.config.Data)
	return s, err
}

// settle waits until no recording is wanted any more.
func (g *globals) settle(ctx context.Context, a *app) (call.QueueStats, error) {
	archiving := newProgress(g.stderr, "recordings settled")
	tick := time.NewTicker(demoPace)
	defer tick.Stop()
	for {
		stats, err := a.store.QueueStats(ctx)
		if err != nil {
			return stats, err
		}
		settled := int(stats.Archived + stats.Absent + stats.Refused)
		if stats.Pending == 0 {
			archiving.end(settled, settled)
			return stats, nil
		}
		archiving.show(settled, settled+int(stats.Pending))
		select {
		case <-ctx.Done():
			return stats, ctx.Err()
		case <-tick.C:
		}
	}
}

// write tells a person what the demo has done.
func (s *demoSummary) write(w io.Writer, cfg *config.Config) {
	fmt.Fprintf(w, "\n%s made %s.\n", counted(s.Deliveries, "delivery"), counted(s.Calls, "call"))
	r := s.Recordings
	fmt.Fprintf(w, "Recordings: %d archived, %d absent, %d refused, %d pending, in %s\n", r.Archived, r.Absent, r.Refused, r.Pending, vaultKind(cfg))
	fmt.Fprintf(w, "Report %s of %s:\n", s.Report.Name, s.Report.Date)
	for _, f := range s.Report.Files {
		fmt.Fprintln(w, "  ", f)
	}
	fmt.Fprintln(w, "Mail:")
	for _, f := range s.Mail {
		fmt.Fprintln(w, "  ", f)
	}
	fmt.Fprintf(w, "Done in %.1f s.\n", s.Seconds)
}

// demoGoesOn leaves the one who watches with something to try.
func (g *globals) demoGoesOn(ctx context.Context, a *app, password string) error {
	name := "demo-" + strconv.FormatInt(time.Now().Unix(), 36)
	token, err := addToken(ctx, a.store, call.Token{Name: name, Role: call.Compliance})
	if err != nil {
		return err
	}
	fmt.Fprintf(g.stderr, "\nCallvault goes on running; Ctrl-C ends it. Look at its reports and calls in a browser:\n  %s/reports\n", a.url())
	if password != "" {
		fmt.Fprintf(g.stderr, "Log in as %s, with the password %s (shown this once).\n", adminName, password)
	}
	fmt.Fprintf(g.stderr, "Or ask it, for instance:\n  curl -H 'Authorization: Bearer %s' '%s/api/v1/calls?limit=3'\n", token, a.url())
	return nil
}

// loadForDemo reads the configuration, or writes the first one, and makes sure
// that no demo is played into somebody's real calls.
func (g *globals) loadForDemo(ctx context.Context, listen string) (*config.Config, demoMark, error) {
	cfg, first, err := g.loadOrWriteFirst(listen, demoAgents())
	if err != nil {
		return nil, demoMark{}, err
	}
	mark, err := readDemo(cfg.Data)
	switch {
	case err != nil:
		return nil, demoMark{}, err
	case mark != nil:
		return cfg, *mark, nil
	case first:
		return cfg, demoMark{}, nil
	}
	empty := false
	err = withStore(ctx, cfg, func(s *store.Store) error {
		found, _, err := s.FindDeliveries(ctx, call.DeliveryFilter{Limit: 1})
		empty = len(found) == 0
		return err
	})
	if err != nil {
		return nil, demoMark{}, err
	}
	if !empty {
		return nil, demoMark{}, fmt.Errorf("there are real calls in %s: give the demo another folder, for instance --data ./callvault-demo", cfg.Data)
	}
	return cfg, demoMark{}, nil
}

// demoMark is kept in the data folder of a demo. With the provider's address a
// second demo offers the same recordings under the same URLs, so that it
// changes nothing.
type demoMark struct {
	Provider string `json:"provider"`
}

const demoFile = "demo.json"

func readDemo(data string) (*demoMark, error) {
	text, err := os.ReadFile(filepath.Join(data, demoFile))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil //nolint:nilnil // no demo has been played here
	}
	var m demoMark
	if err == nil {
		err = json.Unmarshal(text, &m)
	}
	if err != nil {
		return nil, fmt.Errorf("read the demo's mark: %w", err)
	}
	return &m, nil
}

func writeDemo(data string, m demoMark) error {
	text, err := json.Marshal(m)
	if err == nil {
		err = os.WriteFile(filepath.Join(data, demoFile), append(text, '\n'), 0o600)
	}
	if err != nil {
		return fmt.Errorf("write the demo's mark: %w", err)
	}
	return nil
}

// demoConfig points the accounts to the simulated provider, and mails to the
// data folder: a demo reaches nobody.
func demoConfig(cfg *config.Config, p *provider) (config.Report, error) {
	seen := map[config.Provider]bool{}
	for i := range cfg.Accounts {
		a := &cfg.Accounts[i]
		if a.Drill || seen[a.Provider] {
			continue
		}
		seen[a.Provider] = true
		a.AllowPrivateNetworks, a.RecordingHosts, a.APIURL = true, []string{p.address}, "http://"+p.address+"/v2"
		if a.Provider == config.TeleCMI {
			a.AppID, a.Secret = strconv.Itoa(demoAppID), config.Secret(p.secret)
		} else {
			a.AuthCode = config.Secret(p.secret)
		}
	}
	if !seen[config.CallerDesk] || !seen[config.TeleCMI] {
		return config.Report{}, errors.New("the demo needs an account of each provider in the configuration")
	}
	if len(cfg.Reports) == 0 {
		return config.Report{}, errors.New("the demo needs a report in the configuration")
	}
	cfg.Archive.FirstTryAfter, cfg.Archive.GiveUpAfter = 0, demoGiveUp
	cfg.Archive.PerHost = cfg.Archive.Workers // both providers are one host here
	cfg.Mail.SMTP = ""
	for i := range cfg.Reports {
		cfg.Reports[i].Recipients = []config.Recipient{{Address: demoRecipient}}
	}
	report := cfg.Reports[0]
	if daily, ok := cfg.Report("daily"); ok {
		report = daily
	}
	return report, nil
}

// demoAgents are those who answer the demo's calls. They stand in the
// configuration that a demo writes, so that every command knows them.
func demoAgents() []config.Agent {
	var agents []config.Agent
	for _, a := range simulator.Agents() {
		agents = append(agents, config.Agent{Name: a.Name, Group: a.Group, TeleCMI: []string{a.Extension}, Numbers: []string{a.Number}})
	}
	return agents
}

// provider is the simulated provider's server for recordings.
type provider struct {
	address string
	secret  string
	server  *http.Server
	ln      net.Listener
}

// startProvider listens on the address of an earlier demo if it is free, else
// on any.
func startProvider(ctx context.Context, address string) (*provider, error) {
	var lc net.ListenConfig
	ln, err := lc.Listen(ctx, "tcp", address)
	if address == "" || err != nil {
		ln, err = lc.Listen(ctx, "tcp", "127.0.0.1:0")
	}
	if err != nil {
		return nil, fmt.Errorf("start the simulated provider: %w", err)
	}
	return &provider{address: ln.Addr().String(), secret: newDemoSecret(), ln: ln}, nil
}

func (p *provider) serve(day *simulator.Day) {
	p.server = &http.Server{
		Handler: simulator.NewServer(simulator.ServerOptions{AppID: demoAppID, Secret: p.secret, AuthCode: p.secret,
			Recordings: day.Recordings, Listed: day.Listed}),
		ReadHeaderTimeout: 10 * time.Second,
	}
	go func() {
		// It ends with ErrServerClosed when stop closes it; whatever else
		// happens shows as recordings that do not come.
		_ = p.server.Serve(p.ln)
	}()
}

func (p *provider) stop() {
	if p.server != nil {
		_ = p.server.Close() // the listener goes with it
		return
	}
	_ = p.ln.Close()
}

// newDemoSecret is what the simulated provider asks for.
func newDemoSecret() string { return strings.ToLower(rand.Text()) }

// demoClient posts as a provider does, over a few lasting connections.
func demoClient() *http.Client {
	return &http.Client{Timeout: time.Minute, Transport: &http.Transport{MaxIdleConnsPerHost: 16}}
}

// writtenMails are the mails in the data folder.
func writtenMails(data string) ([]string, error) {
	mails, err := filepath.Glob(filepath.Join(mailFolder(data), "*.eml"))
	if err != nil {
		return nil, fmt.Errorf("list the mails: %w", err)
	}
	return notNil(mails), nil
}
