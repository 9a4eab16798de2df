package store_test

import (
	"fmt"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"callvault/internal/call"
	"callvault/internal/store"
)

// BenchmarkRecord stores new calls in batches as the webhook makes them.
func BenchmarkRecord(b *testing.B) {
	s, err := store.Open(b.Context(), store.Options{Path: filepath.Join(b.TempDir(), "callvault.db")})
	if err != nil {
		b.Fatal(err)
	}
	defer func() {
		if err := s.Close(); err != nil {
			b.Error(err)
		}
	}()
	const batch = 32
	n := 0
	b.ReportAllocs()
	for b.Loop() {
		deliveries := make([]*call.Delivery, batch)
		for i := range deliveries {
			n++
			deliveries[i] = delivery(report(fmt.Sprintf("1672649960.%d", n)))
		}
		if err := s.Record(b.Context(), deliveries); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(b.N*batch)/b.Elapsed().Seconds(), "reports/s")
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
