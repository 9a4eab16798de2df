package store_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"callvault/internal/audit"
	"callvault/internal/call"
	"callvault/internal/store"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/mod/sumdb/tlog"
	"pgregory.net/rapid"
)

// checkLog computes the tree of the entries alone and compares the log's head
// with it, its proofs, and what it says of itself; it returns the entries.
func checkLog(t testing.TB, s *store.Store) []audit.Entry {
	t.Helper()
	ctx := context.WithoutCancel(t.Context())
	entries, err := s.AuditEntries(ctx, 0, 1_000_000)
	if err != nil {
		t.Fatal(err)
	}
	var stored []tlog.Hash
	reader := tlog.HashReaderFunc(func(indexes []int64) ([]tlog.Hash, error) {
		hashes := make([]tlog.Hash, len(indexes))
		for i, index := range indexes {
			hashes[i] = stored[index]
		}
		return hashes, nil
	})
	var leaves []tlog.Hash
	for i, e := range entries {
		if e.Seq != int64(i) {
			t.Fatalf("entry %d has place %d", i, e.Seq)
		}
		if e.At.IsZero() {
			t.Fatalf("entry %d has no time", i)
		}
		record, err := e.Record()
		if err != nil {
			t.Fatal(err)
		}
		leaves = append(leaves, tlog.RecordHash(record))
		hashes, err := tlog.StoredHashes(int64(i), record, reader)
		if err != nil {
			t.Fatal(err)
		}
		stored = append(stored, hashes...)
	}
	size := int64(len(entries))
	root, err := tlog.TreeHash(size, reader)
	if err != nil {
		t.Fatal(err)
	}
	head, err := s.AuditHead(ctx)
	if err != nil {
		t.Fatal(err)
	}
	if want := (audit.Head{Size: size, Hash: root}); head != want {
		t.Fatalf("the head is %+v, want %+v", head, want)
	}
	for _, older := range []int64{1, size / 2, size - 1, size} {
		if older < 1 || older > size {
			continue
		}
		then, err := s.AuditHeadAt(ctx, older)
		if err != nil {
			t.Fatal(err)
		}
		grown, err := s.AuditConsistency(ctx, size, older)
		if err == nil {
			err = tlog.CheckTree(grown, size, root, older, then.Hash)
		}
		if err != nil {
			t.Fatalf("growth from %d to %d: %v", older, size, err)
		}
		proof, err := s.AuditProof(ctx, size, older-1)
		if err == nil {
			err = tlog.CheckRecord(proof, size, root, older-1, leaves[older-1])
		}
		if err != nil {
			t.Fatalf("entry %d of %d: %v", older-1, size, err)
		}
	}
	return entries
}

// TestLogIsWhatTlogComputes: after any series of appends by two nodes, of which
// some fail and spoil the transaction that they share with others, the log has
// just what was acknowledged, without gaps.
func TestLogIsWhatTlogComputes(t *testing.T) {
	t.Parallel()
	forEachDatabase(t, func(t *testing.T, o store.Options) {
		nodes := []*store.Store{open(t, o), open(t, o)}
		acknowledged, round := map[string]bool{}, 0
		rapid.Check(t, func(r *rapid.T) {
			round++
			// 0 fails, all others are so many entries.
			sizes := rapid.SliceOfN(rapid.IntRange(0, 3), 1, 12).Draw(r, "changes")
			var wg sync.WaitGroup
			var mu sync.Mutex
			for n, size := range sizes {
				wg.Go(func() {
					subject := fmt.Sprintf("call/%d-%d", round, n)
					entries := []audit.Entry{{Action: audit.CallViewed, Subject: subject, Actor: audit.Actor{Kind: audit.KindUser, Name: "asha"}}}
					for i := 1; i < size; i++ {
						entries = append(entries, audit.Entry{Action: audit.CallsSearched, Subject: subject, Facts: json.RawMessage(`{"number": "<98>"}`)})
					}
					if size == 0 {
						entries = append(entries, audit.Entry{Action: audit.CallViewed, Subject: subject, Facts: json.RawMessage(`[]`)})
					}
					err := nodes[n%2].Audit(context.WithoutCancel(t.Context()), entries...)
					if (err == nil) != (size > 0) {
						t.Errorf("%d entries: %v", size, err)
					}
					mu.Lock()
					defer mu.Unlock()
					acknowledged[subject] = err == nil
				})
			}
			wg.Wait()
		})
		seen := map[string]bool{}
		for _, e := range checkLog(t, nodes[0]) {
			seen[e.Subject] = true
		}
		for subject, ok := range acknowledged {
			if seen[subject] != ok {
				t.Errorf("%s is in the log: %v, and was acknowledged: %v", subject, seen[subject], ok)
			}
		}
	})
}

func TestProofsOfWhatNeverWas(t *testing.T) {
	t.Parallel()
	forEachDatabase(t, func(t *testing.T, o store.Options) {
		s := open(t, o)
		if entries := checkLog(t, s); len(entries) != 0 {
			t.Fatalf("a new log has %d entries", len(entries))
		}
		if err := s.Audit(t.Context(), audit.Entry{Action: audit.CallViewed}); err != nil {
			t.Fatal(err)
		}
		for _, c := range []struct{ size, seq int64 }{{2, 0}, {1, 1}, {1, -1}, {-1, 0}, {0, 0}} {
			if _, err := s.AuditProof(t.Context(), c.size, c.seq); err == nil {
				t.Errorf("entry %d of %d was proved", c.seq, c.size)
			}
		}
		for _, c := range []struct{ size, older int64 }{{2, 1}, {1, 2}, {1, 0}, {0, 0}} {
			if _, err := s.AuditConsistency(t.Context(), c.size, c.older); err == nil {
				t.Errorf("growth from %d to %d was proved", c.older, c.size)
			}
		}
	})
}

// said are the actions and subjects of entries, with who did it.
func said(entries []audit.Entry) []string {
	lines := make([]string, len(entries))
	for i, e := range entries {
		lines[i] = strings.TrimSpace(fmt.Sprintf("%s %s %s %s", e.Actor.Kind, e.Actor.Name, e.Action, e.Subject))
	}
	return lines
}

// factsOf decodes the facts of the last entry about a subject, and wants them to
// hold nothing that T does not know.
func factsOf[T any](t *testing.T, entries []audit.Entry, subject string) (facts T) {
	t.Helper()
	for _, e := range slices.Backward(entries) {
		if e.Subject == subject {
			d := json.NewDecoder(bytes.NewReader(e.Facts))
			d.DisallowUnknownFields()
			if err := d.Decode(&facts); err != nil {
				t.Fatalf("facts of %s: %v: %s", subject, err, e.Facts)
			}
			return facts
		}
	}
	t.Fatalf("no entry is about %s", subject)
	return facts
}

// TestActsAreInTheLog: each act of the queue is in the log with what it takes
// to make the recording's row again, and what changed nothing is not.
func TestActsAreInTheLog(t *testing.T) {
	t.Parallel()
	forEachDatabase(t, func(t *testing.T, o store.Options) {
		s := open(t, o)
		for i := range 3 {
			record(t, s, delivery(report(fmt.Sprintf("1.%d", i))))
		}
		claims := claim(t, s, call.ClaimOptions{})
		archived, absent, refused := claims[0], claims[1], claims[2]
		for _, err := range []error{
			s.MarkArchived(t.Context(), archived.LeaseToken, call.Archiving{ObjectKey: "calls/a.wav", Size: 12, SHA256: "ab", MediaType: "audio/wav", Media: phoneAudio(40)}),
			s.MarkAbsent(t.Context(), absent.LeaseToken, "not offered"),
			s.PauseAccount(t.Context(), "sales", "rejected"),
			s.PauseAccount(t.Context(), "sales", "rejected"),
			s.MarkRefused(t.Context(), refused.LeaseToken, call.CredentialsRejected),
			s.WakeAccount(audit.By(t.Context(), audit.Actor{Kind: audit.KindCommand, Name: "root"}), "sales"),
			s.WakeAccount(t.Context(), "sales"),
		} {
			if err != nil {
				t.Fatal(err)
			}
		}
		if err := s.MarkArchived(t.Context(), archived.LeaseToken, call.Archiving{}); call.CodeOf(err) != call.Conflict {
			t.Errorf("a mark without lease gives %v", err)
		}
		entries := checkLog(t, s)
		want := []string{
			"system  recording.archived recording/" + archived.ID,
			"system  recording.absent recording/" + absent.ID,
			"system  account.paused account/sales",
			"system  recording.refused recording/" + refused.ID,
			"command root account.woken account/sales",
			"command root recording.woken recording/" + refused.ID,
		}
		if diff := cmp.Diff(want, said(entries)); diff != "" {
			t.Error(diff)
		}
		row := must(s.Recording(t.Context(), archived.ID))(t)
		got := factsOf[audit.RecordingFacts](t, entries, "recording/"+archived.ID)
		if diff := cmp.Diff(audit.RecordingFacts{
			ID: row.ID, CallID: row.CallID, Account: "sales", Provider: "callerdesk", Kind: "conversation", State: "archived",
			ObjectKey: "calls/a.wav", Size: 12, SHA256: "ab", MediaType: "audio/wav", AudioSeconds: new(40),
			CreatedAt: row.CreatedAt, WantedAt: archived.WantedAt, ArchivedAt: row.ArchivedAt, Attempts: 1, StoredSHA256: "ab",
			Media: &audit.MediaFacts{Format: "wav", Codec: "pcm_mulaw", Channels: 1, SampleRate: 8000, BitRate: 64000, DurationMS: 40_000, CorruptPPM: 250_000, Flags: "no_length damaged"},
		}, got); diff != "" {
			t.Error(diff)
		}
		if got := factsOf[audit.RecordingFacts](t, entries, "recording/"+refused.ID); got.State != "pending" || !got.WantedAt.After(refused.WantedAt) {
			t.Errorf("the woken one is %+v", got)
		}
	})
}

// TestPeopleAndReportsAreInTheLog: what becomes of users, tokens, runs and mails
// is in the log, without secrets.
func TestPeopleAndReportsAreInTheLog(t *testing.T) {
	t.Parallel()
	forEachDatabase(t, func(t *testing.T, o store.Options) {
		s := open(t, o)
		ctx := audit.By(t.Context(), audit.Actor{Kind: audit.KindCommand, Name: "root"})
		asha := call.User{Name: "asha", Role: call.Viewer, Groups: []string{"Sales"}, PasswordHash: "secret-1"}
		if err := s.AddUser(ctx, asha); err != nil {
			t.Fatal(err)
		}
		if err := s.AddUser(ctx, asha); call.CodeOf(err) != call.Conflict {
			t.Errorf("a second user gives %v", err)
		}
		for _, err := range []error{
			s.SetPassword(ctx, "asha", "secret-2"), s.DisableUser(ctx, "asha"),
			s.AddToken(ctx, call.Token{Name: "crm", Role: call.Compliance, Hash: [32]byte{1}}), s.DisableToken(ctx, "crm"),
		} {
			if err != nil {
				t.Fatal(err)
			}
		}
		for range 2 {
			if _, err := s.ReportSeen(t.Context(), "daily"); err != nil {
				t.Fatal(err)
			}
		}
		period := call.Run{Report: "daily", PeriodFrom: nine, PeriodTo: nine.Add(24 * time.Hour), Zone: "Asia/Kolkata"}
		run, lease, won, err := s.ReserveRun(t.Context(), period, time.Minute)
		if err != nil || !won {
			t.Fatal(won, err)
		}
		if err := s.FailRun(t.Context(), lease, "no room"); err != nil {
			t.Fatal(err)
		}
		if _, lease, won, err = s.ReserveRun(t.Context(), period, time.Minute); err != nil || !won {
			t.Fatal(won, err)
		}
		run.Revision, run.AsOf, run.InputHash = 1, nine.Add(25*time.Hour), "ab"
		run.Files = []call.RunFile{{Name: "daily.xlsx", ObjectKey: "reports/daily.xlsx", Size: 7, SHA256: "cd", MediaType: "x"}}
		if err := s.FinishRun(t.Context(), lease, run); err != nil {
			t.Fatal(err)
		}
		mail, send, err := s.BeginMail(t.Context(), call.Mail{RunID: run.ID, Recipient: "ops@example.org", MessageID: "m-1"})
		if err != nil || !send {
			t.Fatal(send, err)
		}
		if _, send, err := s.BeginMail(t.Context(), call.Mail{RunID: run.ID, Recipient: "ops@example.org", MessageID: "m-1"}); err != nil || send {
			t.Fatal(send, err)
		}
		for _, err := range []error{
			s.FinishMail(t.Context(), mail.ID, call.MailRefused, "no such mailbox", 0), s.ResendMail(ctx, mail.ID),
		} {
			if err != nil {
				t.Fatal(err)
			}
		}
		entries := checkLog(t, s)
		want := []string{
			"command root user.added user/asha", "command root user.password_changed user/asha", "command root user.disabled user/asha",
			"command root token.added token/crm", "command root token.disabled token/crm",
			"system  report.seen report/daily", "system  run.failed run/" + run.ID, "system  run.built run/" + run.ID,
			"system  mail.begun mail/" + mail.ID, "system  mail.finished mail/" + mail.ID, "command root mail.resent mail/" + mail.ID,
		}
		if diff := cmp.Diff(want, said(entries)); diff != "" {
			t.Error(diff)
		}
		for _, e := range entries {
			if strings.Contains(string(e.Facts), "secret") {
				t.Errorf("a secret is in the log: %s", e.Facts)
			}
		}
		user := factsOf[audit.PersonFacts](t, entries, "user/asha")
		if diff := cmp.Diff(audit.PersonFacts{Name: "asha", Role: "viewer", Groups: []string{"Sales"}, CreatedAt: user.CreatedAt, Disabled: true, Fingerprint: user.Fingerprint}, user); diff != "" || len(user.Fingerprint) != 64 {
			t.Error(diff)
		}
		row := must(s.Run(t.Context(), run.ID))(t)
		if diff := cmp.Diff(audit.RunFacts{
			ID: run.ID, Report: "daily", PeriodFrom: nine, PeriodTo: nine.Add(24 * time.Hour), Zone: "Asia/Kolkata", State: "built", Revision: 1,
			AsOf: run.AsOf, InputHash: "ab", Files: []audit.RunFile{audit.RunFile(run.Files[0])}, CreatedAt: row.CreatedAt, BuiltAt: row.BuiltAt, KnownDeliveries: new(int64(0)),
		}, factsOf[audit.RunFacts](t, entries, "run/"+run.ID)); diff != "" {
			t.Error(diff)
		}
		m := must(s.Mails(t.Context(), run.ID))(t)[0]
		if diff := cmp.Diff(audit.MailFacts{
			ID: m.ID, RunID: run.ID, Recipient: "ops@example.org", MessageID: "m-1", State: "retry", Detail: m.Detail, Attempts: 1,
			CreatedAt: m.CreatedAt, DatedAt: m.DatedAt, NextTryAt: m.NextTryAt,
		}, factsOf[audit.MailFacts](t, entries, "mail/"+mail.ID)); diff != "" {
			t.Error(diff)
		}
	})
}

// TestOneKeySignsTheLog: the first key is the log's; another is refused until
// somebody says so, and then the log does, too.
func TestOneKeySignsTheLog(t *testing.T) {
	t.Parallel()
	forEachDatabase(t, func(t *testing.T, o store.Options) {
		s := open(t, o)
		for range 2 {
			if err := s.UseAuditKey(t.Context(), "callvault-a+01+AA"); err != nil {
				t.Fatal(err)
			}
		}
		if err := s.UseAuditKey(t.Context(), "callvault-b+02+BB"); call.CodeOf(err) != call.Conflict || !strings.Contains(err.Error(), "callvault audit rekey") {
			t.Errorf("another key gives %v", err)
		}
		if err := s.ChangeAuditKey(t.Context(), "callvault-a+01+AA", "none"); call.CodeOf(err) != call.Conflict {
			t.Errorf("the same key gives %v", err)
		}
		if err := s.ChangeAuditKey(t.Context(), "callvault-b+02+BB", "disk lost"); err != nil {
			t.Fatal(err)
		}
		if err := s.UseAuditKey(t.Context(), "callvault-b+02+BB"); err != nil {
			t.Error(err)
		}
		if key := must(s.AuditKey(t.Context()))(t); key != "callvault-b+02+BB" {
			t.Errorf("the key is %s", key)
		}
		entries := checkLog(t, s)
		if diff := cmp.Diff([]string{"system  log.key_made log", "system  log.key_changed log"}, said(entries)); diff != "" {
			t.Error(diff)
		}
		want := audit.KeyFacts{Verifier: "callvault-b+02+BB", Fingerprint: audit.Fingerprint("callvault-b+02+BB"), Before: "callvault-a+01+AA"}
		if diff := cmp.Diff(want, factsOf[audit.KeyFacts](t, entries, "log")); diff != "" || entries[1].Reason != "disk lost" {
			t.Error(diff, entries[1].Reason)
		}
	})
}

func TestFindAudit(t *testing.T) {
	t.Parallel()
	forEachDatabase(t, func(t *testing.T, o store.Options) {
		s := open(t, o)
		asha, system := audit.Actor{Kind: audit.KindUser, Name: "asha"}, audit.Actor{Kind: audit.KindSystem}
		for i, e := range []audit.Entry{
			{Action: audit.RecordingArchived, Actor: system, Subject: "recording/1"},
			{Action: audit.RecordingAbsent, Actor: system, Subject: "recording/2"},
			{Action: audit.CallViewed, Actor: asha, Subject: "call/1"},
			{Action: audit.CallsSearched, Actor: asha},
			{Action: audit.AudioPlayed, Actor: audit.Actor{Kind: audit.KindToken, Name: "asha"}, Subject: "recording/1"},
		} {
			e.At = nine.Add(time.Duration(i) * time.Minute)
			if err := s.Audit(t.Context(), e); err != nil {
				t.Fatal(err)
			}
		}
		for _, tt := range []struct {
			name string
			f    audit.Filter
			want []int64
			more bool
		}{
			{"all", audit.Filter{}, []int64{4, 3, 2, 1, 0}, false},
			{"first page", audit.Filter{Limit: 2}, []int64{4, 3}, true},
			{"next page", audit.Filter{Limit: 3, Before: new(int64(3))}, []int64{2, 1, 0}, false},
			{"action", audit.Filter{Action: audit.CallViewed}, []int64{2}, false},
			{"archived", audit.Filter{Action: audit.RecordingArchived}, []int64{0}, false},
			{"actions", audit.Filter{Action: "recording."}, []int64{1, 0}, false},
			{"who", audit.Filter{Actor: "asha"}, []int64{4, 3, 2}, false},
			{"which asha", audit.Filter{Actor: "asha", ActorKind: audit.KindToken}, []int64{4}, false},
			{"system", audit.Filter{ActorKind: audit.KindSystem}, []int64{1, 0}, false},
			{"subject", audit.Filter{Subject: "recording/1"}, []int64{4, 0}, false},
			{"subjects", audit.Filter{Subject: "recording/"}, []int64{4, 1, 0}, false},
			{"from", audit.Filter{From: nine.Add(3 * time.Minute)}, []int64{4, 3}, false},
			{"to", audit.Filter{To: nine.Add(time.Minute)}, []int64{0}, false},
			{"nothing", audit.Filter{Subject: "call/1' OR 1=1 --"}, nil, false},
		} {
			entries, more, err := s.FindAudit(t.Context(), tt.f)
			var got []int64
			for _, e := range entries {
				got = append(got, e.Seq)
			}
			if diff := cmp.Diff(tt.want, got); diff != "" || more != tt.more || err != nil {
				t.Errorf("%s: %s (more %v, %v)", tt.name, diff, more, err)
			}
		}
		if _, _, err := s.FindAudit(t.Context(), audit.Filter{Limit: -1}); call.CodeOf(err) != call.Invalid {
			t.Errorf("a negative limit gives %v", err)
		}
	})
}
