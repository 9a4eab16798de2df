package main

import (
	"cmp"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"callvault/internal/store"
	"callvault/internal/testenv"
)

// The account that all call reports belong to.
const (
	account = "sales"
	token   = "bench0123456789abcdef0123456789"
)

// settings are what a measured callvault is configured with.
type settings struct {
	// data is its data folder, which also holds the configuration.
	data string
	// dsn is PostgreSQL's address; empty is SQLite in data.
	dsn string
	// bucket is the vault, if it has a name.
	bucket testenv.Bucket
	// lock is the bucket's mode of Object Lock; empty is off.
	lock string
	// folder is the vault where there is no bucket; empty is one in data.
	folder string
	// report is the name of the one report; empty is daily.
	report string
	// firstTryAfter is how long recordings wait before they are fetched.
	firstTryAfter time.Duration
}

func (c settings) file() string { return filepath.Join(c.data, "callvault.yaml") }

// write writes the configuration. The rate is out of the way; everything that
// makes data safe is as it always is.
func (c settings) write() error {
	var y strings.Builder
	fmt.Fprintf(&y, "data: %q\n", c.data)
	if c.dsn != "" {
		fmt.Fprintf(&y, "database: %q\n", c.dsn)
	}
	if v := c.bucket; v.Name != "" {
		fmt.Fprintf(&y, "vault:\n  s3: {endpoint: %q, bucket: %q, region: %q, access_key: %q, secret_key: %q, object_lock: %q}\n",
			v.Endpoint, v.Name, testenv.MinIORegion, v.AccessKey, v.SecretKey, cmp.Or(c.lock, "off"))
	}
	if c.lock != "" {
		y.WriteString("retention: {recordings: [{keep: 3y}]}\n")
	}
	if c.folder != "" {
		fmt.Fprintf(&y, "vault: {directory: %q}\n", c.folder)
	}
	fmt.Fprintf(&y, `accounts:
  - name: %s
    provider: callerdesk
    token: %s
    time_zone: Asia/Kolkata
    recording_hosts: [127.0.0.1]
    allow_private_networks: true
    rate: {per_second: 100000, burst: 100000}
archive: {workers: 8, per_host: 8, first_try_after: %s}
public_url: https://calls.example.org
reports:
  - {name: %s, schedule: "0 7 * * *", time_zone: Asia/Kolkata, period: day, formats: [xlsx, csv]}
`, account, token, c.firstTryAfter, cmp.Or(c.report, "daily"))
	if err := os.WriteFile(c.file(), []byte(y.String()), 0o600); err != nil {
		return fmt.Errorf("write the configuration: %w", err)
	}
	return nil
}

// database is the file of the SQLite database.
func (c settings) database() string { return filepath.Join(c.data, "callvault.db") }

// storeOptions open the database that callvault works on.
func (c settings) storeOptions() store.Options {
	return store.Options{DSN: c.dsn, Path: c.database()}
}
