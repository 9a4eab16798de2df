package main

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"callvault/archive"
	"callvault/internal/call"
	"callvault/internal/store"
	"callvault/webhook"

	"github.com/google/uuid"
	"golang.org/x/sync/errgroup"
)

// dayVersion changes when another big day is made, so that an old one is not
// taken for it.
const dayVersion = 2

// bigDate is the day of the very many calls, long over.
func bigDate() time.Time { return time.Date(2026, 3, 10, 0, 0, 0, 0, kolkata()) }

// bigDay makes a database with a day of very many calls, and so many days of as
// many before it, decoded and recorded as if they had been posted, their
// recordings archived. That takes minutes, so the database is kept for the next
// time, in a folder that git ignores.
func (b *bench) bigDay(ctx context.Context, calls, before int) (settings, error) {
	schema, err := b.schema()
	if err != nil {
		return settings{}, err
	}
	name := fmt.Sprintf("day-%d-v%d-%s", calls, dayVersion, schema)
	if before > 0 {
		name = fmt.Sprintf("days-%d-of-%d-v%d-%s", before+1, calls, dayVersion, schema)
	}
	s := settings{data: filepath.Join(b.root, "bench-results", name)}
	if _, err := os.Stat(s.database()); err == nil {
		return s, nil
	}
	making := settings{data: s.data + ".part"}
	if err := errors.Join(os.RemoveAll(making.data), os.MkdirAll(making.data, 0o700)); err != nil {
		return s, err
	}
	if err := fillDays(ctx, making, calls, before, nil); err != nil {
		return s, err
	}
	return s, os.Rename(making.data, s.data)
}

// schema names the database's schema as it is now: until a release has it, it
// may change without a version.
func (b *bench) schema() (string, error) {
	files, err := filepath.Glob(filepath.Join(b.root, "internal", "store", "migrations", "sqlite", "*.sql"))
	if err != nil {
		return "", err
	}
	h := sha256.New()
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			return "", err
		}
		h.Write(text)
	}
	return hex.EncodeToString(h.Sum(nil)[:4]), nil
}

// fillDays fills a database with a day of calls, and so many days of as many
// before it. Their recordings are put into the vault, if there is one, and marked
// as archived.
func fillDays(ctx context.Context, c settings, calls, before int, v archive.Vault) (err error) {
	s, err := store.Open(ctx, c.storeOptions())
	if err != nil {
		return err
	}
	defer closing(&err, s)
	decoder, err := webhook.NewDecoder([]webhook.Account{
		{Name: account, Provider: call.CallerDesk, Token: token, Zone: kolkata(), Region: "IN"},
	}, webhook.Hooks{})
	if err != nil {
		return err
	}
	const batch = 500
	all := calls * (before + 1)
	for first := 0; first < all; first += batch {
		deliveries := make([]*call.Delivery, min(batch, all-first))
		for i := range deliveries {
			if deliveries[i], err = bigDayReport(decoder, first+i, calls, before); err != nil {
				return err
			}
		}
		if err := s.Record(ctx, deliveries); err != nil {
			return err
		}
		if first%50_000 == 0 {
			progress("making %d days of %d calls for this time and the next: %d", before+1, calls, first)
		}
	}
	return archiveDay(ctx, s, v)
}

// bigDayReport is one of the call reports of these days, as it was received.
func bigDayReport(decoder *webhook.Decoder, number, calls, before int) (*call.Delivery, error) {
	uid, err := uuid.NewV7()
	if err != nil {
		return nil, err
	}
	started := bigDate().AddDate(0, 0, number/calls-before).
		Add(time.Duration(float64(number%calls) / float64(calls) * float64(23*time.Hour)))
	report := callReport{
		number: number, started: started, outcomes: usualEndings(), extras: true,
		recordings: "https://callrecords.callerdesk.io",
	}
	d := &call.Delivery{
		UID: uid.String(), Account: account, ReceivedAt: started.Add(15 * time.Minute).UTC().Truncate(time.Millisecond),
		Method: "POST", ContentType: "application/json", Body: report.appendJSON(nil), Source: call.SourceWebhook,
	}
	decoder.Decode(d)
	if len(d.Items) != 1 || d.Items[0].Leg == nil {
		return nil, fmt.Errorf("call report not understood: %s", d.Error)
	}
	return d, nil
}

// archiveDay archives the day's recordings.
func archiveDay(ctx context.Context, s *store.Store, v archive.Vault) error {
	sum := strings.Repeat("5e", 32)
	for done := 0; ; {
		claims, err := s.ClaimRecordings(ctx, call.ClaimOptions{Limit: 500, Lease: time.Minute})
		if err != nil {
			return err
		}
		if len(claims) == 0 {
			return nil
		}
		group, groupCtx := errgroup.WithContext(ctx)
		group.SetLimit(64) // as many as share a transaction
		for _, c := range claims {
			group.Go(func() error {
				audio, err := audioSeconds(c.Source)
				if err != nil {
					return err
				}
				a := call.Archiving{
					ObjectKey: "calls/2026/03/10/" + account + "/" + c.ID + ".mp3", Size: recordingSize,
					SHA256: sum, MediaType: "audio/mpeg",
					Media: call.Media{Format: call.MP3, Codec: "mp3", Channels: 1, SampleRate: 8000, BitRate: 16000, Duration: time.Duration(audio) * time.Second},
				}
				if v != nil {
					if err := putTiny(groupCtx, v, &a); err != nil {
						return err
					}
				}
				return s.MarkArchived(groupCtx, c.LeaseToken, a)
			})
		}
		if err := group.Wait(); err != nil {
			return err
		}
		if done += len(claims); done%50_000 == 0 {
			progress("marking its recordings as archived: %d", done)
		}
	}
}
