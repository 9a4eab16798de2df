package config

import (
	"slices"
	"strings"
	"testing"
)

func TestObjectLockNeedsARule(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name, lock, rules string
		want              bool
	}{
		{"off", "off", "", false},
		{"no rule", "compliance", "", true},
		{"a rule for some", "governance", "retention: {recordings: [{match: {direction: inbound}, keep: 7y}]}", true},
		{"a rule for all", "governance", "retention: {recordings: [{match: {direction: inbound}, keep: 7y}, {keep: 3y}]}", false},
		{"for ever", "compliance", "retention: {recordings: [{keep: forever}]}", false},
	} {
		yaml := "vault: {s3: {endpoint: 'https://minio:9000', bucket: recordings, access_key: a, secret_key: s, object_lock: " + tt.lock + "}}\n" + tt.rules
		c, err := Load(Options{File: writeFile(t, FileName, yaml), Environ: environment()})
		if err != nil {
			t.Errorf("%s: %v", tt.name, err)
			continue
		}
		said := slices.ContainsFunc(c.Notices, func(n Fault) bool { return strings.Contains(n.String(), "locks no recording that no rule") })
		if said != tt.want {
			t.Errorf("%s: notices are %v", tt.name, c.Notices)
		}
	}
}
