package main

import (
	"cmp"
	"context"
	"crypto/rand"
	"fmt"
	"io"
	"log/slog"
	"net"
	"strings"

	"callvault/internal/call"
	"callvault/internal/config"
	"callvault/internal/console"
	"callvault/internal/store"
)

type serveCommand struct {
	Listen string `help:"The address to listen on (default 127.0.0.1:8080)." placeholder:"ADDR"`
}

// Run serves until it is interrupted.
func (c serveCommand) Run(ctx context.Context, g *globals) error {
	cfg, first, err := g.loadOrWriteFirst(c.Listen, nil)
	if err != nil {
		return err
	}
	logger := slog.New(slog.NewTextHandler(g.stderr, nil))
	for _, n := range cfg.Notices {
		logger.WarnContext(ctx, "about the configuration", "note", n.String())
	}
	if first {
		logger.InfoContext(ctx, "first start: the configuration was written", "file", cfg.File)
	}
	if demo, err := readDemo(cfg.Data); err == nil && demo != nil {
		logger.WarnContext(ctx, "this data folder holds the calls of a demo; give --data another folder for real ones", "data", cfg.Data)
	}
	a, err := newApp(ctx, cfg, logger)
	if err != nil {
		return err
	}
	a.greet = func(ctx context.Context, s *store.Store) error { return g.welcome(ctx, s, cfg, a.url()) }
	return a.run(ctx)
}

// loadOrWriteFirst reads the configuration. Where there is none, neither in a
// file nor in the environment, it writes the first one, with these agents.
func (g *globals) loadOrWriteFirst(listen string, agents []config.Agent) (c *config.Config, first bool, err error) {
	c, err = config.Load(g.configOptions(listen))
	if err == nil && c.File == "" && len(c.Accounts) == 0 {
		c, err = config.WriteFirst(g.configOptions(listen), agents)
		first = err == nil
	}
	if err != nil {
		return nil, false, configError(err)
	}
	return c, first, nil
}

// adminName is the user that the first start makes.
const adminName = "admin"

// makeAdmin makes the first user; the password is empty if there is one
// already.
func makeAdmin(ctx context.Context, s *store.Store) (password string, err error) {
	users, err := s.Users(ctx)
	if err != nil || len(users) > 0 {
		return "", err
	}
	password = strings.ToLower(rand.Text())
	err = s.AddUser(ctx, call.User{Name: adminName, Role: call.Admin, PasswordHash: console.HashPassword(password)})
	if call.CodeOf(err) == call.Conflict {
		return "", nil // another node was quicker
	}
	return password, err
}

// hook is what to tell a provider.
type hook struct {
	Account  string `json:"account"`
	Provider string `json:"provider"`
	URL      string `json:"url"`
	Where    string `json:"where"`
}

// hooks say for each account what to paste where.
func hooks(c *config.Config, base string) []hook {
	if c.PublicURL != "" {
		base = c.PublicURL
	}
	where := map[config.Provider]string{
		config.CallerDesk: "CallerDesk's dashboard, API & Integration, Webhooks: tick Call Report and Live Call, choose POST",
		config.TeleCMI:    "TeleCMI's dashboard, your number, Settings, Webhooks: add one of type \"call report\" and one of type \"notify\", both POST",
	}
	list := make([]hook, 0, len(c.Accounts))
	for _, a := range c.Accounts {
		if a.Drill {
			continue // no provider is told of it
		}
		h := hook{a.Name, string(a.Provider), base + "/webhook/" + a.Name + "/" + a.Token.Reveal(), where[a.Provider]}
		if m := a.Mapping.Mapping; m != nil {
			h.Where = cmp.Or(m.Description, "the provider's webhooks: call reports, and recordings if they are told apart") + ", POST"
		}
		list = append(list, h)
	}
	return list
}

// welcome tells at the first start, that is, while there are no users, what to
// do now. It goes to standard output, not to the log: it holds secrets.
func (g *globals) welcome(ctx context.Context, s *store.Store, c *config.Config, base string) error {
	password, err := makeAdmin(ctx, s)
	if err != nil {
		return fmt.Errorf("make the first user: %w", err)
	}
	if password == "" {
		return nil
	}
	result := struct {
		URL    string            `json:"url"`
		Config string            `json:"config"`
		Admin  map[string]string `json:"admin"`
		Hooks  []hook            `json:"hooks"`
	}{base, c.File, map[string]string{"name": adminName, "password": password}, hooks(c, base)}
	return g.print(result, func(w io.Writer) {
		fmt.Fprintf(w, "\nCallvault runs at %s\n\nPaste these addresses; each is a secret:\n", base)
		for _, h := range result.Hooks {
			fmt.Fprintf(w, "\n  %s (account %s)\n    %s\n", h.Where, h.Account, h.URL)
		}
		if c.PublicURL == "" && isLoopback(c.Listen) {
			fmt.Fprintf(w, "\nThe providers cannot reach %s yet: put a proxy with TLS in front and set public_url in\n%s, where the tokens stand too.\n", base, c.File)
		}
		fmt.Fprintf(w, "\nThe first user is %s, with the password %s (shown this once); log in at %s/login\n", adminName, password, cmp.Or(c.PublicURL, base))
		fmt.Fprintf(w, "For the API: callvault token add NAME --role compliance%s\n\n", g.same())
	})
}

// same are the flags that make another command find the same installation.
func (g *globals) same() string {
	flags := ""
	if g.Config != "" {
		flags += " --config " + g.Config
	}
	if g.Data != "" {
		flags += " --data " + g.Data
	}
	return flags
}

func isLoopback(listen string) bool {
	host, _, err := net.SplitHostPort(listen)
	if err != nil {
		return false
	}
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}
