package store_test

import (
	"fmt"
	"path/filepath"
	"testing"

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
