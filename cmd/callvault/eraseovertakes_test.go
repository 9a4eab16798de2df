package main

import (
	"bytes"
	"net/http"
	"strings"
	"sync"
	"syscall"
	"testing"

	"callvault/internal/call"
	"callvault/internal/testenv"
)

// TestErasureOvertakesReport: somebody's number is erased while the files of a
// report that shows it, as a pseudonym in the files and in full in its frozen
// input, are on their way into the vault. The erasure is not complete before they
// are gone; if their builder is killed, too.
func TestErasureOvertakesReport(t *testing.T) {
	t.Parallel()
	for name, killed := range map[string]bool{"made": false, "killed": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := testenv.MinIO(t, testenv.BucketOptions{Versioned: true})
			arrived, goOn := make(chan struct{}), make(chan struct{})
			var held sync.Once
			b.Endpoint = testenv.FaultyStore(t, b.Endpoint, func(r *http.Request) testenv.StoreFault {
				// The workbook is there, the rest is not.
				if r.Method == http.MethodPut && strings.Contains(r.URL.Path, ".csv") {
					held.Do(func() {
						close(arrived)
						<-goOn
					})
				}
				return testenv.NoFault
			})
			s := storage{dsn: testenv.Postgres(t), bucket: &b}
			in := install(t, s, anySize(), "reports: [{name: daily, mask_numbers: true}]\n")
			p := in.start(t)
			if l := newLoad(in); !l.one(t.Context(), p.url, "1763700000.1") {
				t.Fatal("a report was not taken")
			}
			p.stop(syscall.SIGTERM)
			builder := in.program("report", "daily", "--date", "2026-11-20", "--out", t.TempDir())
			var stderr bytes.Buffer
			builder.Stderr = &stderr
			if err := builder.Start(); err != nil {
				t.Fatal(err)
			}
			ended := make(chan error, 1)
			go func() { ended <- builder.Wait() }()
			select {
			case <-arrived:
			case err := <-ended:
				t.Fatalf("it put nothing: %v\n%s", err, stderr.String())
			}
			got := command(t, "", "erase", "+919812345678", "--reason", "asked for", "--data", in.data)
			if got.status != exitDone || !strings.Contains(got.stdout, "There is no certificate yet") || strings.Contains(got.stdout, "The certificate lies") {
				t.Errorf("erase: %+v", got)
			}
			if killed {
				if err := builder.Process.Kill(); err != nil {
					t.Fatal(err)
				}
			}
			close(goOn)
			if err := <-ended; err != nil && !killed {
				t.Fatalf("report: %v\n%s", err, stderr.String())
			}
			if killed { // and nothing was heard of him for long
				in.tamper(t, s, "UPDATE runs SET lease_until = 1 WHERE lease_token IS NOT NULL")
			}
			in.tamper(t, s, "UPDATE erasures SET next_at = 1")
			stored, v := in.openStored(t)
			p = in.start(t)
			eventually(t, "the erasure comes to its end", func() bool {
				_, open := openErasure(t, stored)
				return !open
			})
			p.stop(syscall.SIGTERM)
			for o, err := range v.Versions(t.Context(), "reports/") {
				t.Errorf("left in the vault: %s, %v", o.Key, err)
			}
			runs, _, err := stored.FindRuns(t.Context(), call.RunFilter{})
			if err != nil || len(runs) != 1 || runs[0].State == call.RunBuilt && runs[0].FilesGone() == "" {
				t.Errorf("runs are %+v, %v", runs, err)
			}
			in.checkForgotten(t, s, "+919812345678")
			if got, status := in.verify(t); status != exitDone {
				t.Errorf("status %d: %+v", status, got.Faults)
			}
		})
	}
}
