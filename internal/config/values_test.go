package config

import (
	"encoding/json"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"time"

	"go.yaml.in/yaml/v4"
)

func TestSecretsAreNotSeen(t *testing.T) {
	t.Parallel()
	const hidden = "hunter2hunter2"
	secrets := struct {
		Plain Secret
		URL   SecretURL
		Odd   SecretURL
	}{hidden, "postgres://u:" + hidden + "@h:5432/db?sslpassword=" + hidden,
		"u:" + hidden + "@h"}
	var seen strings.Builder
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%d", "%t"} {
		fmt.Fprintf(&seen, verb+verb+verb+verb, secrets, secrets.Plain, secrets.URL,
			&secrets)
	}
	for _, handler := range []slog.Handler{slog.NewTextHandler(&seen, nil),
		slog.NewJSONHandler(&seen, nil)} {
		slog.New(handler).Info("m", "a", secrets, "b", secrets.Plain,
			"c", secrets.URL, "d", secrets.Odd)
	}
	asJSON, err := json.Marshal(secrets)
	if err != nil {
		t.Fatal(err)
	}
	asYAML, err := yaml.Dump(secrets)
	if err != nil {
		t.Fatal(err)
	}
	seen.Write(asJSON)
	seen.Write(asYAML)
	// %x would show it in hexadecimal.
	for _, form := range []string{hidden, fmt.Sprintf("%x", hidden)} {
		if strings.Contains(seen.String(), form) {
			t.Errorf("%q is seen in %s", form, &seen)
		}
	}
	if got, want := secrets.URL.String(),
		"postgres://u:********@h:5432/db?********"; got != want {
		t.Errorf("URL is shown as %q, want %q", got, want)
	}
	if secrets.Plain.Reveal() != hidden {
		t.Error("Reveal does not reveal")
	}
}

func TestSize(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]Size{
		"512MiB": 512 << 20, "20MB": 20e6, "1024": 1 << 10, "1.5KiB": 1536,
		"5GiB": 5 << 30,
	} {
		var got, again Size
		if err := got.UnmarshalText([]byte(text)); err != nil || got != want {
			t.Errorf("size %q = %d, %v; want %d", text, got, err, want)
		}
		if err := again.UnmarshalText([]byte(got.String())); err != nil ||
			again != want {
			t.Errorf("size %q is written as %s, which reads as %d, %v",
				text, got, again, err)
		}
	}
	for _, text := range []string{"", "-1", "1 potato", "99999999EB", "9223372036854775808"} {
		var s Size
		if err := s.UnmarshalText([]byte(text)); err == nil {
			t.Errorf("size %q = %d, want an error", text, s)
		}
	}
}

func TestTerm(t *testing.T) {
	t.Parallel()
	leapDay := time.Date(2024, 2, 29, 12, 0, 0, 0, time.UTC)
	tests := []struct {
		text, written, after string
	}{
		{"7y", "7y", "2031-03-01"},
		{"18mo", "18mo", "2025-08-29"},
		{"90d", "90d", "2024-05-29"},
		{"2w", "14d", "2024-03-14"},
		{"1y6mo", "1y6mo", "2025-08-29"},
		{"forever", "forever", "0001-01-01"},
	}
	for _, test := range tests {
		var term Term
		if err := term.UnmarshalText([]byte(test.text)); err != nil {
			t.Errorf("term %q: %v", test.text, err)
		}
		if term.String() != test.written {
			t.Errorf("term %q is written as %q, want %q", test.text, term, test.written)
		}
		if got := term.After(leapDay).Format(time.DateOnly); got != test.after {
			t.Errorf("term %q is over on %s, want %s", test.text, got, test.after)
		}
	}
	for _, text := range []string{"", "7", "y", "7 y", "7years", "-1y", "0d",
		"1001y", "99999999999999999999y", "7y7"} {
		var term Term
		if err := term.UnmarshalText([]byte(text)); err == nil {
			t.Errorf("term %q = %v, want an error", text, term)
		}
	}
}

func TestTermCanEndBefore(t *testing.T) {
	t.Parallel()
	forever := Term{}
	tests := []struct {
		a, b Term
		want bool
	}{
		{Term{Years: 1}, Term{Months: 12}, false},
		{Term{Months: 12}, Term{Years: 1}, false},
		{Term{Days: 365}, Term{Years: 1}, true},
		{Term{Days: 366}, Term{Years: 1}, false},
		{Term{Years: 1}, Term{Days: 366}, true},
		{Term{Years: 2}, Term{Years: 3}, true},
		{Term{Years: 9}, forever, true},
		{forever, Term{Years: 9}, false},
		{forever, forever, false},
	}
	for _, test := range tests {
		if got := test.a.CanEndBefore(test.b); got != test.want {
			t.Errorf("(%s).CanEndBefore(%s) = %v", test.a, test.b, got)
		}
	}
}

func TestMailServer(t *testing.T) {
	t.Parallel()
	tests := []struct {
		smtp                   SecretURL
		address, user          string
		password               Secret
		security               Security
		insecureOnThisComputer bool
	}{
		{"smtp://u%40x:p%2Fw@mail.example.org", "mail.example.org:587", "u@x", "p/w",
			RequireSTARTTLS, false},
		{"smtps://mail.example.org", "mail.example.org:465", "", "",
			ImplicitTLS, false},
		{"smtp://localhost", "localhost:25", "", "", OfferedSTARTTLS, true},
		{"smtp://127.0.0.1:2525", "127.0.0.1:2525", "", "", OfferedSTARTTLS, true},
		{"smtp://10.0.0.1:25", "10.0.0.1:25", "", "", RequireSTARTTLS, false},
	}
	for _, test := range tests {
		s, err := Mail{SMTP: test.smtp}.Server()
		if err != nil {
			t.Errorf("%s: %v", test.smtp, err)
			continue
		}
		if got := fmt.Sprintf("%s:%d", s.Host, s.Port); got != test.address ||
			s.User != test.user || s.Password.Reveal() != test.password.Reveal() ||
			s.Security != test.security ||
			s.TLS.InsecureSkipVerify != test.insecureOnThisComputer {
			t.Errorf("%s = %s %s %s", test.smtp, got, s.User, s.Security)
		}
	}
	for _, smtp := range []SecretURL{"", "mail.example.org:587", "smtp://",
		"smtp://user@mail.example.org", "smtp://mail.example.org:0",
		"smtp://mail.example.org/x", "smtp://u:%hunter2@h"} {
		_, err := Mail{SMTP: smtp}.Server()
		if err == nil || strings.Contains(err.Error(), "hunter2") {
			t.Errorf("%s: error %v", smtp, err)
		}
	}
}

// TestPrefix: a network of IPv4 is one, however it is written.
func TestPrefix(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"203.0.113.0/24": "203.0.113.0/24", "203.0.113.9/24": "203.0.113.0/24", "203.0.113.9": "203.0.113.9/32",
		"::ffff:203.0.113.9": "203.0.113.9/32", "::ffff:203.0.113.0/120": "203.0.113.0/24",
		"2001:db8::1": "2001:db8::1/128", "2001:db8::/32": "2001:db8::/32", "::/0": "::/0",
	} {
		if got, err := parsePrefix(text); err != nil || got.String() != want {
			t.Errorf("%s is read as %s, %v; want %s", text, got, err, want)
		}
	}
	for _, text := range []string{"", "203.0.113.0/33", "203.0.113", "example.org"} {
		if got, err := parsePrefix(text); err == nil {
			t.Errorf("%s is read as %s, want an error", text, got)
		}
	}
}
