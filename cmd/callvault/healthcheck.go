package main

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"time"

	"callvault/internal/config"
)

type healthcheckCommand struct {
	Listen string        `help:"The server's address, if it is not the configured one." placeholder:"ADDR"`
	Wait   time.Duration `default:"5s" help:"How long to wait for an answer."`
}

// Run asks /readyz.
func (c healthcheckCommand) Run(ctx context.Context, g *globals) error {
	cfg, err := config.Load(g.configOptions(c.Listen))
	if err != nil {
		return configError(err)
	}
	ctx, cancel := context.WithTimeout(ctx, c.Wait)
	defer cancel()
	address := serverURL(cfg) + "/readyz"
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, address, nil)
	if err != nil {
		return err
	}
	client := &http.Client{Transport: &http.Transport{
		// The certificate is for the public name, and this asks the machine
		// itself.
		TLSClientConfig: &tls.Config{InsecureSkipVerify: true}, //nolint:gosec // loopback, and nothing secret is sent
	}}
	response, err := client.Do(request)
	if err != nil {
		if urlErr, ok := errors.AsType[*url.Error](err); ok {
			err = urlErr.Err
		}
		return fmt.Errorf("no answer from %s: %w", address, err)
	}
	body, err := io.ReadAll(io.LimitReader(response.Body, 64<<10))
	err = errors.Join(err, response.Body.Close())
	if err != nil {
		return fmt.Errorf("read the answer of %s: %w", address, err)
	}
	if response.StatusCode != http.StatusOK {
		return fmt.Errorf("not ready: %s", strings.TrimSpace(string(body)))
	}
	return g.print(map[string]bool{"ready": true}, func(w io.Writer) { fmt.Fprintln(w, "ready") })
}

// serverURL is where the configured server answers on this machine.
func serverURL(c *config.Config) string {
	scheme := "http"
	if c.TLS.CertFile != "" {
		scheme = "https"
	}
	host, port, err := net.SplitHostPort(c.Listen)
	if err != nil {
		return scheme + "://" + c.Listen
	}
	if ip := net.ParseIP(host); host == "" || ip != nil && ip.IsUnspecified() {
		host = "127.0.0.1"
	}
	return scheme + "://" + net.JoinHostPort(host, port)
}
