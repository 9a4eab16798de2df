package store_test

import (
	"fmt"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"callvault/internal/audit"
	"callvault/internal/call"
	"callvault/internal/store"
)

// BenchmarkRecord stores batches as the webhook makes them: of new calls, of
// reports that are known word for word, and of known ones in other words.
func BenchmarkRecord(b *testing.B) {
	for _, c := range []struct {
		name string
		// report makes the n-th report, and known says that it was stored once
		// before.
		report func(n int) *call.Delivery
		known  bool
	}{
		{"new", func(n int) *call.Delivery { return delivery(report(fmt.Sprintf("1672649960.%d", n))) }, false},
		{"duplicate", func(n int) *call.Delivery { return delivery(report(fmt.Sprintf("1672649960.%d", n))) }, true},
		{"reworded", func(n int) *call.Delivery {
			d := delivery(report(fmt.Sprintf("1672649960.%d", n)))
			d.Body = append([]byte(" "), d.Body...)
			return d
		}, true},
	} {
		b.Run(c.name, func(b *testing.B) {
			s, err := store.Open(b.Context(), store.Options{Path: filepath.Join(b.TempDir(), "callvault.db")})
			if err != nil {
				b.Fatal(err)
			}
			defer func() {
				if err := s.Close(); err != nil {
					b.Error(err)
				}
			}()
			const batch, known = 32, 32 * 200
			record := func(from int, report func(int) *call.Delivery) {
				deliveries := reports(from, batch, report)
				if err := s.Record(b.Context(), deliveries); err != nil {
					b.Fatal(err)
				}
			}
			if c.known {
				for n := 0; n < known; n += batch {
					record(n, func(n int) *call.Delivery { return delivery(report(fmt.Sprintf("1672649960.%d", n))) })
				}
			}
			n := 0
			b.ReportAllocs()
			for b.Loop() {
				from := n
				if c.known {
					from = n % known
				}
				record(from, c.report)
				n += batch
			}
			b.ReportMetric(float64(n)/b.Elapsed().Seconds(), "reports/s")
		})
	}
}

func reports(from, count int, report func(int) *call.Delivery) []*call.Delivery {
	deliveries := make([]*call.Delivery, count)
	for i := range deliveries {
		deliveries[i] = report(from + i)
	}
	return deliveries
}

// BenchmarkQueue takes recordings through the queue, as 8 workers do.
func BenchmarkQueue(b *testing.B) {
	s, err := store.Open(b.Context(), store.Options{Path: filepath.Join(b.TempDir(), "callvault.db")})
	if err != nil {
		b.Fatal(err)
	}
	defer func() {
		if err := s.Close(); err != nil {
			b.Error(err)
		}
	}()
	const batch = 256
	for n := 0; n < b.N; n += batch {
		deliveries := make([]*call.Delivery, batch)
		for i := range deliveries {
			deliveries[i] = delivery(report(fmt.Sprintf("1672649960.%d", n+i)))
		}
		if err := s.Record(b.Context(), deliveries); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportAllocs()
	b.ResetTimer()
	var wg sync.WaitGroup
	var done atomic.Int64
	for range 8 {
		wg.Go(func() {
			for done.Add(1) <= int64(b.N) {
				claims, err := s.ClaimRecordings(b.Context(), call.ClaimOptions{Limit: 1, Lease: time.Minute})
				if err != nil || len(claims) != 1 {
					b.Error(len(claims), err)
					return
				}
				token := claims[0].LeaseToken
				key, err := s.ChooseObjectKey(b.Context(), token, "calls/2026/11/20/sales/"+claims[0].ID+".wav")
				if err != nil {
					b.Error(err)
				}
				if err := s.MarkArchived(b.Context(), token, call.Archiving{ObjectKey: key, Size: 1, SHA256: "ab", MediaType: "audio/wav"}); err != nil {
					b.Error(err)
				}
			}
		})
	}
	wg.Wait()
}

// BenchmarkAudit appends entries as 8 workers do that mark recordings: compare
// with BenchmarkQueue, which appends one with each recording.
func BenchmarkAudit(b *testing.B) {
	s, err := store.Open(b.Context(), store.Options{Path: filepath.Join(b.TempDir(), "callvault.db")})
	if err != nil {
		b.Fatal(err)
	}
	defer func() {
		if err := s.Close(); err != nil {
			b.Error(err)
		}
	}()
	entry, err := audit.New(audit.RecordingArchived, "recording/1", audit.RecordingFacts{ID: "1", Account: "sales", ObjectKey: "calls/2026/11/20/sales/1.wav"})
	if err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	b.ResetTimer()
	var wg sync.WaitGroup
	var done atomic.Int64
	for range 8 {
		wg.Go(func() {
			for done.Add(1) <= int64(b.N) {
				if err := s.Audit(b.Context(), entry); err != nil {
					b.Error(err)
				}
			}
		})
	}
	wg.Wait()
}
