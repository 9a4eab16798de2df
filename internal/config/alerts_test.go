package config

import (
	"strings"
	"testing"
)

func TestAlerts(t *testing.T) {
	t.Parallel()
	const smtp = "\nmail: {smtp: smtp://127.0.0.1, from: a@example.org}"
	for _, tt := range []struct{ name, yaml, fault, notice string }{
		{"nobody is told", "alerts: {}", "", ""},
		{"by mail", "alerts: {recipients: [Ops <ops@example.org>]}" + smtp, "", ""},
		{"by a mail that is not sent", "alerts: {recipients: [ops@example.org]}", "", "without mail.smtp nobody is told"},
		{"https", "alerts: {webhook: 'https://hooks.example.org/x?y=z'}", "", ""},
		{"http on this machine", "alerts: {webhook: 'http://127.0.0.1:8065/x'}", "", ""},
		{"http elsewhere", "alerts: {webhook: 'http://10.0.0.1/hunter2'}", "must be https", ""},
		{"no scheme", "alerts: {webhook: hooks.example.org/hunter2}", "must start with https://", ""},
		{"no host", "alerts: {webhook: 'https:///hunter2'}", "has no usable host", ""},
		{"a bad port", "alerts: {webhook: 'https://hooks.example.org:0/hunter2'}", "has no usable host", ""},
		{"a password", "alerts: {webhook: 'https://me:hunter2@hooks.example.org'}", "must not hold a user name", ""},
		{"no URL", "alerts: {webhook: 'https://%zz/hunter2'}", "is not a URL", ""},
	} {
		c, err := Load(Options{File: writeFile(t, FileName, tt.yaml), Environ: environment()})
		if tt.fault != "" {
			if err == nil || !strings.Contains(err.Error(), tt.fault) || strings.Contains(err.Error(), "hunter2") {
				t.Errorf("%s: %v", tt.name, err)
			}
			continue
		}
		if err != nil {
			t.Errorf("%s: %v", tt.name, err)
			continue
		}
		if notices := len(c.Notices); notices > 1 || (notices == 1) != (tt.notice != "") || notices == 1 && !strings.Contains(c.Notices[0].String(), tt.notice) {
			t.Errorf("%s: notices are %v", tt.name, c.Notices)
		}
	}
}
