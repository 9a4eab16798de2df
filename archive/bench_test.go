package archive_test

import (
	"fmt"
	"net/http"
	"testing"
	"time"

	"callvault/archive"
	"callvault/internal/call"
	"callvault/internal/simulator"
	"callvault/internal/testenv"
)

// BenchmarkArchive archives recordings of 220 kB, as long as an average call,
// from one host with 8 workers: into a directory and into S3, the latter also
// from a host that does not say how long they are.
func BenchmarkArchive(b *testing.B) {
	for name, open := range map[string]func(*testing.B) archive.Vault{
		"directory": func(b *testing.B) archive.Vault {
			b.Helper()
			return onDirectory(b)
		},
		"S3": func(b *testing.B) archive.Vault {
			b.Helper()
			return openS3(b, s3Options(testenv.MinIO(b, testenv.BucketOptions{})))
		},
	} {
		b.Run(name, func(b *testing.B) { benchmarkArchive(b, open(b)) })
	}
}

func benchmarkArchive(b *testing.B, v archive.Vault) {
	b.Helper()
	const size = 220_000
	provider := simulator.NewServer(simulator.ServerOptions{AnySize: size})
	host := serve(b, http.HandlerFunc(provider.ServeHTTP))
	s := onSQLite(b)
	deliveries := make([]*call.Delivery, b.N)
	for i := range deliveries {
		deliveries[i] = wanted(fmt.Sprintf("%s/incoming/%d.wav", host, i), "", 0)
	}
	queue(b, s, deliveries...)
	o := options(b, s, v, host)
	o.Workers, o.PerHost, o.Logger = 8, 8, nil
	b.SetBytes(size)
	b.ResetTimer()
	_, stop := run(b, o)
	ticker := time.NewTicker(50 * time.Millisecond)
	defer ticker.Stop()
	for stats(b, s).Archived < int64(b.N) {
		<-ticker.C
	}
	b.StopTimer()
	stop()
}
