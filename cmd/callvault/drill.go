package main

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"time"

	"callvault/internal/call"
	"callvault/internal/config"
	"callvault/internal/drill"
	"callvault/internal/store"
)

type drillCommand struct {
	URL         string        `name:"url" help:"Where the installation is reached (default: public_url, else its address on this machine)." placeholder:"URL"`
	Listen      string        `help:"Where the drill serves recordings to the installation (default: the host that the drill's CallerDesk account may fetch from; with --print-config: 127.0.0.1:8099)." placeholder:"ADDR"`
	Token       string        `help:"A token of the API, of role compliance or admin; also CALLVAULT_TOKEN. Without it the drill makes one in the installation's database, and disables it at the end." placeholder:"TOKEN"`
	Wait        time.Duration `default:"5m" help:"How long to wait for recordings."`
	PrintConfig bool          `help:"Print the two accounts that a drill needs, to be added to the configuration."`
}

// Help is the end of the command's help.
func (drillCommand) Help() string {
	return `Plays, on two accounts that are marked "drill: true": duplicates, reports in the wrong order and many at once, what cannot be read and what is too large, a wrong token, recordings that come late, broken off, slowly, never, or are none. Then it looks through the API whether every call is there exactly once, and every recording archived as it was sent. Takes about a minute. The exit status is 1 if something is broken.

  callvault drill --print-config    # the accounts; add them, start Callvault again
  callvault drill`
}

// Run drills the installation.
func (c drillCommand) Run(ctx context.Context, g *globals) error {
	if c.PrintConfig {
		return c.printConfig(g)
	}
	cfg, err := g.load()
	if err != nil {
		return err
	}
	options, err := c.options(cfg)
	if err != nil {
		return err
	}
	options.APIToken = c.Token
	for _, v := range g.environ() {
		if token, ok := strings.CutPrefix(v, "CALLVAULT_TOKEN="); ok && options.APIToken == "" {
			options.APIToken = token
		}
	}
	if options.APIToken == "" {
		return withDrillToken(ctx, cfg, func(token string) error {
			options.APIToken = token
			return c.drill(ctx, g, options)
		})
	}
	return c.drill(ctx, g, options)
}

func (c drillCommand) drill(ctx context.Context, g *globals, o drill.Options) error {
	var err error
	listen := c.Listen
	if listen == "" {
		listen = o.Host
	}
	if o.Listener, err = new(net.ListenConfig).Listen(ctx, "tcp", listen); err != nil {
		return fmt.Errorf("listen for the installation to fetch recordings (--listen): %w", err)
	}
	o.Said = func(c drill.Check) {
		if g.JSON {
			return
		}
		word := "held  "
		if !c.Held {
			word = "BROKEN"
		}
		fmt.Fprintf(g.stdout, "%s  %s: %s\n", word, c.Name, c.Seen)
		if c.Do != "" {
			fmt.Fprintf(g.stdout, "        %s\n", c.Do)
		}
	}
	if !g.JSON {
		fmt.Fprintf(g.stdout, "Drilling %s on the accounts %s and %s. What takes its time is decided last.\n", o.URL, o.CallerDesk.Name, o.TeleCMI.Name)
	}
	result, err := drill.Run(ctx, o)
	if err != nil {
		return err
	}
	err = g.print(result, func(w io.Writer) { fmt.Fprintf(w, "%d held, %d broken.\n", result.Held, result.Broken) })
	if err == nil && result.Broken > 0 {
		err = fmt.Errorf("%d of %d checks are broken", result.Broken, len(result.Checks))
	}
	return err
}

// options are those that the configuration gives.
func (c drillCommand) options(cfg *config.Config) (drill.Options, error) {
	o := drill.Options{URL: c.URL, Wait: c.Wait, Now: time.Now, Client: &http.Client{
		// As many connections as the drill opens at once.
		Transport: &http.Transport{Proxy: http.ProxyFromEnvironment, MaxIdleConnsPerHost: 64},
	}}
	if o.URL == "" {
		o.URL = cfg.PublicURL
	}
	if o.URL == "" {
		o.URL = serverURL(cfg)
	}
	o.URL = strings.TrimRight(o.URL, "/")
	desk, cmi := drillAccount(cfg, config.CallerDesk), drillAccount(cfg, config.TeleCMI)
	if desk == nil || cmi == nil {
		return o, fmt.Errorf("there are no accounts for drills %s: add what `callvault drill --print-config` prints, start Callvault again, then drill", readFrom(cfg))
	}
	if cmi.AppID == "" {
		return o, fmt.Errorf("the account %s needs app_id and secret: see `callvault drill --print-config`", cmi.Name)
	}
	if len(desk.RecordingHosts) != 1 || strings.HasPrefix(desk.RecordingHosts[0], "*") {
		return o, fmt.Errorf("the account %s must have one host:port under recording_hosts, where the drill serves recordings: see `callvault drill --print-config`", desk.Name)
	}
	o.Host = desk.RecordingHosts[0]
	if _, _, err := net.SplitHostPort(o.Host); err != nil {
		return o, fmt.Errorf("recording_hosts of the account %s must be host:port, such as 127.0.0.1:8099", desk.Name)
	}
	o.CallerDesk = drill.Account{Name: desk.Name, Token: desk.Token.Reveal(), Zone: desk.TimeZone.Location}
	o.TeleCMI = drill.Account{Name: cmi.Name, Token: cmi.Token.Reveal(), Zone: cmi.TimeZone.Location, AppID: cmi.AppID, Secret: cmi.Secret.Reveal()}
	return o, nil
}

// drillAccount is the first account of a provider that is there for drills. No
// other is ever drilled.
func drillAccount(cfg *config.Config, p config.Provider) *config.Account {
	for i := range cfg.Accounts {
		if a := &cfg.Accounts[i]; a.Drill && a.Provider == p {
			return a
		}
	}
	return nil
}

// withDrillToken calls f with a token of its own, and shuts that out afterwards.
func withDrillToken(ctx context.Context, cfg *config.Config, f func(token string) error) error {
	if err := hasStore(cfg); err != nil {
		return fmt.Errorf("a drill needs a token of the API (--token): %w", err)
	}
	return withStore(ctx, cfg, func(s *store.Store) error {
		name := "drill-" + time.Now().UTC().Format("20060102-150405.000")
		token, err := addToken(ctx, s, call.Token{Name: name, Role: call.Compliance})
		if err != nil {
			return err
		}
		err = f(token)
		// Also when the drill was interrupted.
		limit, cancel := context.WithTimeout(context.WithoutCancel(ctx), 10*time.Second)
		defer cancel()
		return errors.Join(err, s.DisableToken(limit, name))
	})
}

// printConfig prints the accounts of a drill, with secrets of their own.
func (c drillCommand) printConfig(g *globals) error {
	host := c.Listen
	if host == "" {
		host = "127.0.0.1:8099"
	}
	if _, _, err := net.SplitHostPort(host); err != nil {
		return usagef("--listen must be host:port, such as 127.0.0.1:8099")
	}
	secret := func() string { return strings.ToLower(rand.Text() + rand.Text())[:40] }
	text := fmt.Sprintf(`  - name: drill-callerdesk
    provider: callerdesk
    drill: true
    token: %s
    recording_hosts: ["%s"]
    allow_private_networks: true
  - name: drill-telecmi
    provider: telecmi
    drill: true
    token: %s
    app_id: "1"
    secret: %s
    api_url: http://%s/v2
    allow_private_networks: true
`, secret(), host, secret(), secret(), host)
	return g.print(map[string]string{"accounts": text}, func(w io.Writer) {
		fmt.Fprintf(w, "# Add these to `accounts` in callvault.yaml, and start Callvault again.\n%s", text)
	})
}
