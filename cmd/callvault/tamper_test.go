package main

import (
	"bytes"
	"crypto/sha256"
	"database/sql"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"callvault/archive"
	"callvault/internal/call"

	"github.com/google/go-cmp/cmp"
	"github.com/klauspost/compress/zstd"
)

// tampered is one change of what is kept, and what verify must find then.
type tampered struct {
	name   string
	change string // SQL, or
	do     func(t *testing.T, in installation)
	want   []string
}

// TestTampering changes one thing in each place there is, as an administrator
// could, and expects verify to name that place and nothing else.
func TestTampering(t *testing.T) {
	t.Parallel()
	in, names := tamperable(t)
	if got, status := in.verify(t); status != exitDone || len(got.Faults)+len(got.Notices) > 0 || got.Parts["journal"] == 0 || got.Parts["rows"] == 0 {
		t.Fatalf("before: status %d, %+v", status, got)
	}
	for _, c := range slices.Concat(tamperedRows(names), tamperedIdentifiers(), tamperedRecords(), tamperedLog(), tamperedObjects(names), tamperedPeople(), tamperedPromises(names), tamperedTypes(names)) {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			changed := in
			changed.data = t.TempDir()
			if out, err := exec.CommandContext(t.Context(), "cp", "-a", in.data+"/.", changed.data).CombinedOutput(); err != nil {
				t.Fatalf("%v: %s", err, out)
			}
			if c.change != "" {
				changed.tamper(t, storage{}, names.Replace(c.change))
			} else {
				c.do(t, changed)
			}
			got, status := changed.verify(t)
			var found, want []string
			for _, f := range got.Faults {
				found = append(found, string(f.Kind)+" "+f.Where)
				if f.What == "" || strings.Contains(f.What, "+91") {
					t.Errorf("%q says nothing, or a number", f.What)
				}
			}
			for _, w := range c.want {
				want = append(want, names.Replace(w))
			}
			slices.Sort(found)
			slices.Sort(want)
			if diff := cmp.Diff(want, found); diff != "" || status != exitWrong {
				t.Errorf("status %d, faults (-want +got):\n%s%+v", status, diff, got.Faults)
			}
		})
	}
}

// tamperable is an installation with a bit of everything, and the names of some
// of it.
func tamperable(t *testing.T) (installation, *strings.Replacer) {
	t.Helper()
	in := livedIn(t, storage{}, 24, "reports: [{name: daily, schedule: \"0 0 1 1 *\"}]\n")
	s, v := in.openStored(t)
	held := map[string]bool{}
	holds, err := s.Holds(t.Context())
	if err != nil || len(holds) != 1 {
		t.Fatalf("%d holds, %v", len(holds), err)
	}
	held[holds[0].CallIDs[0]] = true
	// Of a day without calls, for else the erasure below would delete its files.
	const reportKey = "reports/daily/2026-01-01/r1-0/daily.csv"
	content := []byte("no calls\n")
	sum := sha256.Sum256(content)
	run, token, _, err := s.ReserveRun(t.Context(), call.Run{Report: "daily", PeriodFrom: time.Unix(1767225600, 0), PeriodTo: time.Unix(1767312000, 0), Zone: "UTC"}, time.Minute)
	if err == nil {
		err = v.Put(t.Context(), reportKey, bytes.NewReader(content), archive.PutOptions{Size: int64(len(content)), SHA256: sum})
	}
	if err == nil {
		err = s.FinishRun(t.Context(), token, call.Run{
			AsOf: time.Now(), InputHash: "ab", Files: []call.RunFile{{Name: "daily.csv", ObjectKey: reportKey, Size: int64(len(content)), SHA256: hex.EncodeToString(sum[:])}},
		})
	}
	if err != nil {
		t.Fatal(err)
	}
	mail, send, err := s.BeginMail(t.Context(), call.Mail{RunID: run.ID, Recipient: "ops@example.org", MessageID: "<1@example.org>"})
	if err == nil && send {
		err = s.FinishMail(t.Context(), mail.ID, call.MailSent, "250 ok", 0)
	}
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(
		s.AddUser(t.Context(), call.User{Name: "asha", Role: call.Manager, Groups: []string{"sales"}, PasswordHash: "x"}),
		s.AddToken(t.Context(), call.Token{Name: "wall", Role: call.Viewer, Hash: sum}),
		s.DisableToken(t.Context(), "wall"),
		s.PauseAccount(t.Context(), "closed", "the credentials were rejected"),
	); err != nil {
		t.Fatal(err)
	}
	export, err := s.AddExport(t.Context(), call.Export{Request: json.RawMessage(`{"calls":["x"],"reason":"complaint 7"}`), By: "meera", Reason: "complaint 7"})
	if err == nil {
		_, err = s.RemoveExport(t.Context(), export.ID)
	}
	if err != nil {
		t.Fatal(err)
	}
	// Of one customer's calls nothing is told twice.
	var victim, erased call.CallWithRecordings
	times := map[string]int{}
	err = s.EachCall(t.Context(), call.Filter{}, func(c call.CallWithRecordings) error {
		times[c.CustomerNumber]++
		return nil
	})
	if err == nil {
		err = s.EachCall(t.Context(), call.Filter{}, func(c call.CallWithRecordings) error {
			switch {
			case c.Account != "sales" || len(c.Recordings) != 1 || c.Recordings[0].State != call.Archived || c.CustomerNumber == "" || held[c.ID] || times[c.CustomerNumber] > 1:
			case victim.ID == "":
				victim = c
			case erased.ID == "":
				erased = c
			}
			return nil
		})
	}
	if err != nil || erased.ID == "" {
		t.Fatalf("no calls to tamper with: %v", err)
	}
	commandJSON[map[string]any](t, "erase", erased.CustomerNumber, "--reason", "request of today", "--data", in.data)
	joinTwo(t, in)
	// What was done by commands gets into the journal, and is sealed.
	in.start(t).stop(syscall.SIGTERM)
	// What has just been put may be on its way into the database.
	long := time.Now().Add(-3 * time.Hour)
	err = filepath.WalkDir(in.object(""), func(path string, _ os.DirEntry, err error) error {
		return errors.Join(err, os.Chtimes(path, long, long))
	})
	if err != nil {
		t.Fatal(err)
	}
	one := func(query string) (text string) {
		t.Helper()
		in.query(t, query, &text)
		return text
	}
	const live = " FROM legs l JOIN calls c ON c.id = l.call_id WHERE l.facts LIKE '%live_from%' AND c.outcome = 'answered' ORDER BY l.id LIMIT 1"
	rec := victim.Recordings[0]
	return in, strings.NewReplacer(
		"{call}", victim.ID, "{recording}", rec.ID, "{object}", rec.ObjectKey,
		"{other}", one("SELECT id FROM calls WHERE id <> '"+victim.ID+"' AND account = 'support' ORDER BY id LIMIT 1"),
		"{leg}", one("SELECT account || '/' || leg_key FROM legs WHERE call_id = '"+victim.ID+"' LIMIT 1"),
		"{former}", one("SELECT id FROM call_redirects"), "{joined}", one("SELECT call_id FROM call_redirects"),
		"{live leg}", one("SELECT l.account || '/' || l.leg_key"+live), "{live call}", one("SELECT c.id"+live),
		"{live delivery}", one("SELECT delivery_id FROM delivery_items WHERE told_leg = (SELECT l.id"+live+")"),
		"{delivery}", one("SELECT i.delivery_id FROM delivery_items i JOIN legs l ON l.id = i.leg_id WHERE l.call_id = '"+victim.ID+"' LIMIT 1"),
		"{body}", one("SELECT lower(hex(d.body_sha256)) FROM deliveries d JOIN delivery_items i ON i.delivery_id = d.id JOIN legs l ON l.id = i.leg_id WHERE l.call_id = '"+victim.ID+"' LIMIT 1"),
		"{erased delivery}", one("SELECT min(id) FROM deliveries WHERE erased <> ''"),
		"{erased leg}", one("SELECT account || '/' || leg_key FROM legs WHERE id = (SELECT leg_id FROM delivery_items WHERE delivery_id = (SELECT min(id) FROM deliveries WHERE erased <> ''))"),
		"{second}", one("SELECT 'journal/0000000002' || CASE WHEN revision > 0 THEN '.r' || revision ELSE '' END || '.jsonl.zst' FROM journal_segments WHERE number = 2"),
		"{rewritten}", one("SELECT 'journal/' || substr('0000000000' || number, -10) || '.r' || revision || '.jsonl.zst' FROM journal_segments WHERE revision > 0 LIMIT 1"),
		"{rewritten number}", one("SELECT number FROM journal_segments WHERE revision > 0 LIMIT 1"),
		"{rewritten entry}", one("SELECT min(seq) FROM audit_entries WHERE actor_kind = 'system' AND seq >= (SELECT entries_from FROM journal_segments WHERE revision > 0 LIMIT 1)"),
		"{segment}", one("SELECT max(number) FROM journal_segments"),
		"{hold}", holds[0].ID, "{export}", export.ID, "{run}", run.ID, "{mail}", mail.ID, "{erasure}", one("SELECT id FROM erasures"),
		"{report}", reportKey, "{seal}", one("SELECT object_key FROM audit_seals ORDER BY size LIMIT 1"),
		"{seal size}", one("SELECT min(size) FROM audit_seals"), "{next}", one("SELECT 1 + max(seq) FROM audit_entries"), "{absent}", one("SELECT min(id) FROM recordings WHERE state = 'absent'"),
		"{certificate}", one("SELECT certificate FROM erasures"), "{entry}", one("SELECT seq FROM audit_entries WHERE action = 'erasure.certified'"), "{last}", one("SELECT max(seq) FROM audit_entries"),
	)
}

// query reads one value past the program.
func (in installation) query(t *testing.T, query string, into any) {
	t.Helper()
	db, err := sql.Open("sqlite", "file:"+filepath.Join(in.data, databaseFile))
	if err != nil {
		t.Fatal(err)
	}
	if err := db.QueryRowContext(t.Context(), query).Scan(into); err != nil {
		t.Fatalf("%s: %v", query, err)
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
}

// column makes a change of each column, as SQL expressions, in one row.
func column(table, where string, changes map[string]string, want ...string) (all []tampered) {
	for name, to := range changes {
		all = append(all, tampered{name: table + "." + name, change: "UPDATE " + table + " SET " + name + " = " + to + " WHERE " + where, want: want})
	}
	return all
}

// tamperedRows are changes of what came in and of what follows from it.
func tamperedRows(names *strings.Replacer) []tampered {
	const calls, legs, deliveries = "id = '{call}'", "call_id = '{call}'", "id = {delivery}"
	return slices.Concat(
		column("calls", calls, map[string]string{
			"account": "'support'", "provider": "'telecmi'", "call_key": "'x'", "direction": "'outbound'", "outcome": "'missed'", "status": "'x'",
			"customer_number": "'+910000000000'", "business_number": "'+910000000000'", "agent_name": "'x'", "group_name": "'x'", "campaign": "'x'",
			"started_at": "started_at + 1", "answered_at": "answered_at + 1", "ended_at": "ended_at + 1", "wait_seconds": "999", "talk_seconds": "999",
			"total_seconds": "999", "hangup_cause": "'x'", "hangup_by": "'x'", "cost": "'9'", "legs_count": "9",
		}, "call call/{call}"),
		column("deliveries", deliveries, map[string]string{
			"uid": "'x'", "received_at": "received_at + 1000", "method": "'PUT'", "remote_address": "'203.0.113.99'", "source": "'import'", "content_type": "'x/y'",
		}, "journal delivery/{delivery}"),
		[]tampered{
			{name: "delivery is gone", change: "DELETE FROM deliveries WHERE id = {delivery}", want: []string{"delivery body/{body}", "journal delivery/{delivery}", "leg leg/{leg}"}},
			{name: "delivery in between", change: `INSERT INTO deliveries SELECT 1000000, 'x', account, received_at, method, content_type, query, body_sha256, remote_address, source, outcome, error, erased
				FROM deliveries WHERE id = {delivery}`, want: []string{"delivery delivery/1000000"}},
			{name: "delivery's body", change: "UPDATE bodies SET body = body || x'20' WHERE sha256 = (SELECT body_sha256 FROM deliveries WHERE id = {delivery})",
				want: []string{"delivery delivery/{delivery}"}},
			{name: "delivery's outcome", change: "UPDATE deliveries SET outcome = 'ignored' WHERE id = {delivery}", want: []string{"delivery delivery/{delivery}"}},
			{name: "what told first", change: "UPDATE delivery_items SET outcome = 'duplicate' WHERE delivery_id = {delivery}", want: []string{"delivery delivery/{delivery}", "journal delivery/{delivery}"}},
			{name: "delivery, as if erased", change: "UPDATE deliveries SET erased = 'whole' WHERE id = {delivery}", want: []string{"journal delivery/{delivery}"}},
			{name: "erased delivery, as if not", change: "UPDATE deliveries SET erased = '' WHERE id = {erased delivery}", want: []string{"delivery delivery/{erased delivery}", "journal delivery/{erased delivery}", "leg leg/{erased leg}"}},
			{name: "leg's facts", change: `UPDATE legs SET facts = replace(facts, '"attributes":{', '"attributes":{"x":"y",') WHERE call_id = '{call}'`, want: []string{"leg leg/{leg}"}},
			{name: "since when it rang, as its call has it", change: `
				UPDATE legs SET facts = replace(facts, '"live_from":"' || json_extract(facts, '$.live_from') || '"',
					'"live_from":"' || strftime('%Y-%m-%dT%H:%M:%fZ', json_extract(facts, '$.live_from'), '-5 seconds') || '"') WHERE account || '/' || leg_key = '{live leg}';
				UPDATE calls SET started_at = started_at - 5000, wait_seconds = wait_seconds + 5, total_seconds = total_seconds + 5 WHERE id = '{live call}'`,
				want: []string{"leg leg/{live leg}"}},
			{name: "leg is gone", change: "DELETE FROM legs WHERE call_id = '{call}'", want: []string{"call call/{call}", "delivery delivery/{delivery}", "recording recording/{recording}"}},
			{name: "call is gone", change: "DELETE FROM calls WHERE id = '{call}'", want: []string{"leg leg/{leg}"}},
			{name: "call that never was", change: "INSERT INTO legs SELECT 1000000, account, leg_key || 'x', call_id, facts FROM legs WHERE call_id = '{call}'",
				want: []string{"call call/{call}", "leg leg/{leg}x"}},
			{name: "delivery, leg and call that fit to each other", do: func(t *testing.T, in installation) {
				t.Helper()
				rewriteDelivery(t, in, names.Replace("{delivery}"), names.Replace("{call}"))
			}, want: []string{"journal delivery/{delivery}"}},
		},
		column("legs", legs, map[string]string{"call_id": "'{other}'"}, "call call/{call}", "call call/{other}", "leg leg/{leg}", "recording recording/{recording}"),
	)
}

// tamperedRecords are changes of rows that the log tells of.
func tamperedRecords() []tampered {
	gone := func(noun, table string) tampered {
		return tampered{name: noun + " is gone", change: "DELETE FROM " + table + " WHERE id = '{" + noun + "}'", want: []string{noun + " " + noun + "/{" + noun + "}"}}
	}
	return slices.Concat(
		column("recordings", "id = '{recording}'", map[string]string{
			"call_id": "'{other}'", "account": "'support'", "provider": "'telecmi'", "kind": "'voicemail'", "source": "'x'", "media_type": "'x/y'", "created_at": "created_at + 1",
			"archived_at": "archived_at + 1", "rule": "'x'", "due_at": "1", "retain_until": "1", "audio_seconds": "9999",
		}, "recording recording/{recording}"),
		column("recordings", "id = '{recording}'", map[string]string{"sha256": "'x'", "size": "size + 1"}, "mismatch {object}", "recording recording/{recording}"),
		column("recordings", "id = '{recording}'", map[string]string{"object_key": "'calls/x'"}, "missing calls/x", "recording recording/{recording}", "unknown {object}"),
		column("recordings", "id = '{recording}'", map[string]string{"state": "'expired'"}, "recording recording/{recording}", "unknown {object}"),
		column("holds", "id = '{hold}'", map[string]string{"name": "'x'", "facts": "replace(facts, 'letter', 'word')", "released_at": "1"}, "hold hold/{hold}"),
		column("runs", "id = '{run}'", map[string]string{
			"report": "'x'", "period_from": "period_from + 1", "zone": "'UTC+1'", "revision": "9", "as_of": "1", "input_hash": "'x'",
			"error": "'x'", "built_at": "1",
		}, "run run/{run}"),
		column("runs", "id = '{run}'", map[string]string{"state": "'failed'", "files": "'[]'"}, "run run/{run}", "unknown {report}"),
		column("mails", "id = '{mail}'", map[string]string{"recipient": "'x'", "message_id": "'x'", "state": "'refused'", "detail": "'x'", "attempts": "9", "sent_at": "1"}, "mail mail/{mail}"),
		column("erasures", "id = '{erasure}'", map[string]string{
			"number_hash": "'x'", "reason": "'x'", "asked_by": "'x'", "number": "'9876543210'", "asked_at": "asked_at - 1",
			"finished_at": "finished_at - 3600000", "next_at": "1", "certificate": "'x'", "certificates": "certificates - 1",
		}, "erasure erasure/{erasure}"),
		column("users", "name = 'asha'", map[string]string{
			"role": "'admin'", "user_groups": "'[\"support\"]'", "disabled": "1", "created_at": "created_at + 1",
		}, "user user/asha"),
		column("tokens", "name = 'wall'", map[string]string{
			"role": "'admin'", "user_groups": "'x'", "disabled": "1 - disabled", "created_at": "created_at + 1",
		}, "token token/wall"),
		[]tampered{{name: "user whom nobody added", change: "INSERT INTO users (name, role, password_hash, created_at) VALUES ('mallory', 'admin', 'x', 1)", want: []string{"user user/mallory"}}},
		column("recording_media", "recording_id = '{recording}'", map[string]string{
			"format": "''", "codec": "'x'", "duration_ms": "1", "truncated": "1 - truncated", "flags": "'x'",
		}, "recording recording/{recording}"),
		[]tampered{
			{name: "what is known of the audio is gone", change: "DELETE FROM recording_media WHERE recording_id = '{recording}'", want: []string{"recording recording/{recording}"}},
			{name: "hold's reason, spelled otherwise", change: `UPDATE holds SET facts = replace(facts, '"two_person"', '"REASON":"none","two_person"')`, want: []string{"hold hold/{hold}"}},
			gone("hold", "holds"), gone("mail", "mails"), gone("erasure", "erasures"),
			{name: "recording is gone", change: "DELETE FROM recordings WHERE id = '{recording}'", want: []string{"call call/{call}", "recording recording/{recording}", "unknown {object}"}},
			{name: "call is not held any more", change: "DELETE FROM hold_calls", want: []string{"hold hold/{hold}"}},
			{name: "erasure, as if it were not complete", change: "UPDATE erasures SET finished_at = NULL, next_at = asked_at WHERE id = '{erasure}'", want: []string{"erasure erasure/{erasure}"}},
			{name: "erased call, as if it were not", change: "UPDATE erasure_items SET state = 'kept' WHERE kind = 'call'", want: []string{"erasure erasure/{erasure}"}},
			{name: "erased call is gone from the list", change: "DELETE FROM erasure_items WHERE kind = 'call'", want: []string{"erasure erasure/{erasure}"}},
			{name: "report's files, as if erased", change: `UPDATE runs SET files = '[]' WHERE id = '{run}';
				INSERT INTO erasure_items (erasure_id, kind, ref, state, at) VALUES ('{erasure}', 'report', '{run}', 'erased', 1)`, want: []string{"erasure erasure/{erasure}", "run run/{run}", "unknown {report}"}},
			{name: "report's files, as if by another erasure", change: `UPDATE runs SET files = '[]' WHERE id = '{run}';
				INSERT INTO erasure_items (erasure_id, kind, ref, state, at) VALUES ('x', 'report', '{run}', 'erased', 1)`, want: []string{"run run/{run}", "unknown {report}"}},
			{name: "where audio lay, as if erased", change: `UPDATE recordings SET source = 'x' WHERE id = '{recording}';
				INSERT INTO erasure_items (erasure_id, kind, ref, state, at) VALUES ('{erasure}', 'call', '{call}', 'erased', 1)`, want: []string{"erasure erasure/{erasure}", "recording recording/{recording}"}},
			{name: "number may come back, but from just before", change: "UPDATE suppressed_numbers SET before_at = before_at - 1", want: []string{"erasure erasure/{erasure}"}},
			{name: "number may come back", change: "DELETE FROM suppressed_numbers", want: []string{"erasure erasure/{erasure}"}},
			{name: "recording that never was", change: `INSERT INTO recordings (id, leg_id, call_id, account, provider, kind, source, location, host, state, wanted_at, created_at)
				SELECT 'x', leg_id, call_id, account, provider, kind, 'x', location, host, 'absent', wanted_at, created_at FROM recordings WHERE id = '{recording}'`, want: []string{"recording recording/x"}},
		},
	)
}

// tamperedLog are changes of the log and of the journal's rows.
func tamperedLog() []tampered {
	return slices.Concat(
		column("audit_entries", "seq = {entry}", map[string]string{
			"at": "at + 1", "actor_kind": "'x'", "actor_name": "'x'", "actor_address": "'x'", "reason": "'x'",
		}, "journal log/{entry}", "log log/{entry}"),
		column("audit_entries", "seq = {entry}", map[string]string{"action": "'x.y'", "subject": "'x'"}, "erasure erasure/{erasure}", "journal log/{entry}", "log log/{entry}"),
		column("audit_entries", "seq = {entry}", map[string]string{"hashes": "zeroblob(length(hashes))"}, "log log/{entry}"),
		column("audit_head", "id = 0", map[string]string{"edge": "zeroblob(length(edge))", "size": "size - 1"}, "log log/head"),
		column("audit_seals", "object_key = '{seal}'", map[string]string{"size": "size + 1", "sealed_at": "sealed_at + 1", "being_put": "1"}, "seal {seal}"),
		column("audit_seals", "object_key = '{seal}'", map[string]string{"note": "'x'"}, "mismatch {seal}", "seal {seal}"),
		column("audit_key", "id = 0", map[string]string{"verifier": "'x+1+y'"}, "log log/key"),
		[]tampered{
			{name: "entry is gone", change: "DELETE FROM audit_entries WHERE seq = {entry}", want: []string{"erasure erasure/{erasure}", "journal log/{entry}", "log log/{entry}"}},
			{name: "last entry is gone", change: "DELETE FROM audit_entries WHERE seq = {last}", want: []string{"journal journal/{segment}", "log log/{last}"}},
			{name: "seal's row is gone", change: "DELETE FROM audit_seals WHERE object_key = '{seal}'", want: []string{"unknown {seal}"}},
			{name: "segment's row is gone", change: "DELETE FROM journal_segments WHERE number = 1", want: []string{"segment journal/1", "unknown " + archive.SegmentKey(1)}},
		},
		column("journal_segments", "number = 2", map[string]string{"sha256": "'x'", "size": "size + 1"}, "mismatch {second}", "segment journal/2"),
		column("journal_segments", "number = 2", map[string]string{"previous": "'x'", "deliveries_after": "deliveries_after + 1", "entries_from": "1", "at": "1"}, "journal journal/2"),
	)
}

// tamperedObjects are changes in the vault.
func tamperedObjects(names *strings.Replacer) []tampered {
	change := func(key string, change func(t *testing.T, in installation, object []byte) []byte) func(*testing.T, installation) {
		return func(t *testing.T, in installation) {
			t.Helper()
			path := in.object(names.Replace(key))
			object, err := os.ReadFile(path)
			if err == nil {
				err = os.Remove(path)
			}
			if err != nil {
				t.Fatal(err)
			}
			if object = change(t, in, object); object == nil {
				return
			}
			if err := os.WriteFile(path, object, 0o400); err != nil {
				t.Fatal(err)
			}
		}
	}
	flip := func(_ *testing.T, _ installation, object []byte) []byte {
		object[len(object)/2] ^= 1
		return object
	}
	remove := func(*testing.T, installation, []byte) []byte { return nil }
	var all []tampered
	for name, key := range map[string]string{
		"recording": "{object}", "report": "{report}", "segment": archive.SegmentKey(1), "segment that was written again": "{rewritten}", "seal": "{seal}",
		"certificate": "{certificate}.json", "certificate for people": "{certificate}.txt",
	} {
		all = append(all,
			tampered{name: name + "'s bytes", do: change(key, flip), want: []string{"mismatch " + key}},
			tampered{name: name + "'s object is gone", do: change(key, remove), want: []string{"missing " + key}})
	}
	return append(all,
		tampered{name: "segment with another line", do: change(archive.SegmentKey(1), func(t *testing.T, _ installation, object []byte) []byte {
			t.Helper()
			return withAnotherLine(t, object)
		}), want: []string{"mismatch " + archive.SegmentKey(1)}},
		tampered{name: "segment that was written again, with another line", do: change("{rewritten}", func(t *testing.T, _ installation, object []byte) []byte {
			t.Helper()
			return withAnotherLine(t, object)
		}), want: []string{"mismatch {rewritten}"}},
		tampered{name: "segment that was written again, with another line and another hash", do: change("{rewritten}", func(t *testing.T, in installation, object []byte) []byte {
			t.Helper()
			forged := withAnotherLine(t, object)
			sum := sha256.Sum256(forged)
			in.tamper(t, storage{}, fmt.Sprintf("UPDATE journal_segments SET sha256 = '%x', size = %d WHERE revision > 0 AND sha256 = '%x'", sum, len(forged), sha256.Sum256(object)))
			return forged
		}), want: []string{"segment journal/{rewritten number}", "journal journal/{rewritten number}", "journal log/{rewritten entry}"}},
		tampered{name: "segment in the place of another", do: change(archive.SegmentKey(1), func(t *testing.T, in installation, _ []byte) []byte {
			t.Helper()
			other, err := os.ReadFile(in.object(names.Replace("{second}")))
			if err != nil {
				t.Fatal(err)
			}
			return other
		}), want: []string{"mismatch " + archive.SegmentKey(1)}},
		tampered{name: "object that nobody knows", do: func(t *testing.T, in installation) {
			t.Helper()
			path := in.object("calls/x.wav")
			long := time.Now().Add(-3 * time.Hour)
			if err := os.WriteFile(path, []byte("RIFF"), 0o400); err != nil {
				t.Fatal(err)
			}
			if err := os.Chtimes(path, long, long); err != nil {
				t.Fatal(err)
			}
		}, want: []string{"unknown calls/x.wav"}})
}

func (in installation) object(key string) string {
	return filepath.Join(in.data, "recordings", filepath.FromSlash(key))
}

// withAnotherLine changes a line of a segment and compresses it again.
func withAnotherLine(t *testing.T, object []byte) []byte {
	t.Helper()
	r, err := zstd.NewReader(nil)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	w, err := zstd.NewWriter(nil)
	if err != nil {
		t.Fatal(err)
	}
	text, err := r.DecodeAll(object, nil)
	changed := bytes.Replace(text, []byte(`"kind":"system"`), []byte(`"kind":"person"`), 1)
	if err != nil || bytes.Equal(text, changed) {
		t.Fatalf("nothing to change: %v", err)
	}
	return w.EncodeAll(changed, nil)
}

// rewriteDelivery lets a call have lasted longer, by its delivery, its leg and
// its own row.
func rewriteDelivery(t *testing.T, in installation, id, callID string) {
	t.Helper()
	db, err := sql.Open("sqlite", "file:"+filepath.Join(in.data, databaseFile))
	if err != nil {
		t.Fatal(err)
	}
	var sum, body []byte
	if err := db.QueryRowContext(t.Context(), "SELECT sha256, body FROM bodies WHERE sha256 = (SELECT body_sha256 FROM deliveries WHERE id = "+id+")").Scan(&sum, &body); err != nil {
		t.Fatal(err)
	}
	talk := regexp.MustCompile(`"TalkDuration": ?"([0-9]+)"`).FindSubmatch(body)
	if talk == nil {
		t.Fatalf("no talk in %s", body)
	}
	was, is := string(talk[1]), "7"
	changed := bytes.Replace(body, talk[0], bytes.Replace(talk[0], talk[1], []byte(is), 1), 1)
	now := sha256.Sum256(changed)
	for _, step := range []struct {
		statement string
		args      []any
	}{
		{"UPDATE bodies SET sha256 = ?, body = ? WHERE sha256 = ?", []any{now[:], changed, sum}},
		{"UPDATE deliveries SET body_sha256 = ? WHERE body_sha256 = ?", []any{now[:], sum}},
		{
			"UPDATE legs SET facts = replace(replace(facts, ?, ?), ?, ?) WHERE call_id = ?",
			[]any{`"TalkDuration":"` + was + `"`, `"TalkDuration":"` + is + `"`, `"talk_seconds":` + was, `"talk_seconds":` + is, callID},
		},
		{"UPDATE calls SET talk_seconds = ? WHERE id = ?", []any{is, callID}},
	} {
		if _, err := db.ExecContext(t.Context(), step.statement, step.args...); err != nil {
			t.Fatal(err)
		}
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
}
