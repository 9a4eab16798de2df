package main

import (
	"bytes"
	"crypto/sha256"
	"fmt"
	"log/slog"
	"path/filepath"
	"testing"
	"testing/synctest"
	"time"

	"callvault/archive"
	"callvault/internal/call"
	"callvault/internal/config"
	"callvault/internal/store"
)

// TestScrubIsSlow: the rolling scrub reads no faster than verify.rate, by a clock
// that moves only while everything waits.
func TestScrubIsSlow(t *testing.T) {
	t.Parallel()
	const objects, size, rate = 8, 250_000, 100_000
	data := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		s, err := store.Open(t.Context(), store.Options{Path: filepath.Join(data, databaseFile)})
		if err != nil {
			t.Fatal(err)
		}
		defer func() {
			if err := s.Close(); err != nil {
				t.Error(err)
			}
		}()
		v, err := archive.OpenDirectory(filepath.Join(data, "recordings"))
		if err != nil {
			t.Fatal(err)
		}
		body := bytes.Repeat([]byte("callvault "), size/10)
		sum := sha256.Sum256(body)
		for i := range objects {
			source := fmt.Sprintf("https://rec.example.org/%d.wav", i)
			leg := &call.Leg{
				Account: "sales", Provider: call.CallerDesk, Key: fmt.Sprint(i), Direction: call.Inbound, Outcome: call.Answered, StartedAt: time.Now(),
				Recordings: []call.Wanted{{Kind: call.Conversation, Source: source, Location: source}},
			}
			leg.AddKey(call.KeyCall, leg.Key)
			d := &call.Delivery{Account: "sales", ReceivedAt: time.Now(), Method: "POST", Source: call.SourceWebhook, Items: []call.Item{{Outcome: call.Recorded, Leg: leg}}}
			if err := s.Record(t.Context(), []*call.Delivery{d}); err != nil {
				t.Fatal(err)
			}
			claims, err := s.ClaimRecordings(t.Context(), call.ClaimOptions{Limit: 1, Lease: time.Minute})
			if err != nil || len(claims) != 1 {
				t.Fatal(claims, err)
			}
			key := "calls/2026/11/20/sales/" + claims[0].ID + ".wav"
			err = v.Put(t.Context(), key, bytes.NewReader(body), archive.PutOptions{Size: size, SHA256: sum})
			if err == nil {
				err = s.MarkArchived(t.Context(), claims[0].LeaseToken, call.Archiving{ObjectKey: key, Size: size, SHA256: fmt.Sprintf("%x", sum), MediaType: "audio/wav"})
			}
			if err != nil {
				t.Fatal(err)
			}
		}
		c := &config.Config{}
		c.Verify.Rate = rate
		part := scrubOptions(c, s, v, nil, nil, slog.New(slog.DiscardHandler)).Parts[0]
		began := time.Now()
		checked, next, err := part.Check(t.Context(), "")
		took := time.Since(began)
		if err != nil || next != "" || len(checked) != 1 || len(checked[0].Where) != objects || len(checked[0].Faults) > 0 {
			t.Errorf("%s: %+v, %q, %v", part.Name, checked, next, err)
		}
		// What it may take at once is less than two objects.
		least, most := (objects-2)*size/rate*time.Second, objects*size/rate*time.Second
		if took < least || took > most {
			t.Errorf("it read %d bytes in %s, want %s to %s", objects*size, took, least, most)
		}
	})
}
