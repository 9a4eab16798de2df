package main

import (
	"bytes"
	"strings"
	"testing"

	"callvault/internal/call"
)

// tamperedTypes are values that nothing of the program would have written: SQLite
// keeps whatever it is given, and JSON is text to both databases. Of each the place
// is named, and all else is looked at all the same.
func tamperedTypes(names *strings.Replacer) []tampered {
	const (
		entry, recording, run = "seq = {entry}", "id = '{recording}'", "id = '{run}'"
		broken                = "'{'"
	)
	all := []tampered{
		{name: "leg's facts are no JSON", change: "UPDATE legs SET facts = facts || '}' WHERE call_id = '{call}'", want: []string{"call call/{call}", "leg leg/{leg}"}},
		{name: "number of an item is none", change: "UPDATE delivery_items SET item = 0.5 WHERE delivery_id = {delivery}", want: []string{"delivery delivery/{delivery}", "leg leg/{leg}"}},
		{name: "all calls started at no time", change: "UPDATE calls SET started_at = 'x' WHERE id = '{call}' OR id = '{other}'", want: []string{"call call/{call}", "call call/{other}"}},
		{name: "body that no delivery has", change: "INSERT INTO bodies VALUES (x'0102', x'7b7d')", want: []string{"delivery body/0102"}},
		{name: "body under no hash", change: "INSERT INTO bodies VALUES ('x', x'7b7d')", want: []string{"delivery body/78"}},
		{name: "delivery before the first", change: `INSERT INTO deliveries SELECT -5, 'x', account, received_at, method, content_type, query, body_sha256, remote_address, source, outcome, error, erased
			FROM deliveries WHERE id = {delivery}`, want: []string{"delivery delivery/-5"}},
		{name: "entry before the first", change: `INSERT INTO audit_entries SELECT -1, at, action, actor_kind, actor_name, actor_address, 'x/y', reason, facts, hashes FROM audit_entries WHERE seq = {entry}`,
			want: []string{"log log/-1"}},
		{name: "version that never was", change: "INSERT INTO program_versions VALUES ('x', 1)", want: []string{"log log/versions"}},
		{name: "version is gone", change: "DELETE FROM program_versions", want: []string{"log log/versions"}},
		{name: "object beside a segment, of another place", change: "INSERT INTO journal_objects (number, revision, object_key, state) VALUES (2, 7, 'journal/x', 'planned')", want: []string{"segment journal/2"}},
		{name: "segment that counts, as if it did not", change: "INSERT INTO journal_objects (number, revision, object_key, state) VALUES (1, 0, 'journal/0000000001.jsonl.zst', 'old')",
			want: []string{"segment journal/1"}},
		{name: "old object of a segment with other bytes", change: `INSERT INTO journal_objects (number, revision, object_key, state, sha256, size)
			VALUES ({rewritten number}, 0, 'journal/' || substr('0000000000' || {rewritten number}, -10) || '.jsonl.zst', 'old', 'x', 1)`, want: []string{"segment journal/{rewritten number}"}},
		{name: "object beside no segment", change: "INSERT INTO journal_objects (number, revision, object_key, state) VALUES (99999, 1, 'journal/0000099999.r1.jsonl.zst', 'old')", want: []string{"segment journal/objects"}},
		{name: "recording that has no row", change: `UPDATE legs SET facts = replace(facts, '"recordings":[', '"recordings":[{"kind":"voicemail","source":"x"},') WHERE call_id = '{call}'`,
			want: []string{"call call/{call}", "leg leg/{leg}"}},
		{name: "what a part needs, and another part does not", do: cutShort(names), want: []string{"part verify/objects", "run run/{run}"}},
	}
	for _, one := range []struct {
		table, where string
		changes      map[string]string
		want         []string
	}{
		{"audit_entries", entry, map[string]string{"at": "at + 0.5", "facts": broken}, []string{"erasure erasure/{erasure}", "journal log/{entry}", "log log/{entry}"}},
		{"audit_head", "id = 0", map[string]string{"size": "'x'"}, []string{"log log/head", "part verify/log"}},
		{"audit_seals", "object_key = '{seal}'", map[string]string{"sealed_at": "'x'", "being_put": "'x'"}, []string{"seal {seal}", "unknown {seal}"}},
		{"journal_segments", "number = 2", map[string]string{"size": "'x'"}, []string{"journal journal/2", "segment journal/2", "unknown {second}"}},
		{"journal_segments", "number = 2", map[string]string{"at": "'x'"}, []string{"journal journal/2"}},
		{"calls", "id = '{call}'", map[string]string{"started_at": "started_at + 0.5", "ended_at": "'x'", "legs_count": "x'00'"}, []string{"call call/{call}"}},
		{"calls", "id = '{call}' OR 0", map[string]string{"started_at": "-2"}, []string{"call call/{call}"}},
		{"deliveries", "id = {delivery}", map[string]string{"received_at": "'x'"}, []string{"delivery delivery/{delivery}", "journal delivery/{delivery}"}},
		{"recordings", recording, map[string]string{"size": "'x'", "retain_until": "1.5", "archived_at": "'x'"}, []string{"mismatch {object}", "recording recording/{recording}"}},
		{"recordings", recording, map[string]string{"wanted_at": "'x'", "rule_until": "'x'"}, []string{"recording recording/{recording}"}},
		{"runs", run, map[string]string{"files": "'['", "as_of": "'x'"}, []string{"run run/{run}", "unknown {report}"}},
		{"mails", "id = '{mail}'", map[string]string{"attempts": "'x'"}, []string{"mail mail/{mail}"}},
		{"holds", "id = '{hold}'", map[string]string{"facts": broken, "released_at": "'x'"}, []string{"hold hold/{hold}"}},
		{"erasures", "id = '{erasure}'", map[string]string{"asked_at": "'x'", "finished_at": "'x'"}, []string{"erasure erasure/{erasure}"}},
		{"erasure_items", "kind = 'call'", map[string]string{"until_at": "'x'"}, []string{"erasure erasure/{erasure}"}},
		{"report_schedules", "report = 'daily'", map[string]string{"first_seen": "'x'"}, []string{"report report/daily"}},
		{"exports", "id = '{export}'", map[string]string{"finished_at": "'x'", "request": broken}, []string{"export export/{export}"}},
		{"account_pauses", "1", map[string]string{"paused_at": "'x'"}, []string{"account account/closed"}},
		{"hold_calls", "hold_id = '{hold}'", map[string]string{"since": "'x'"}, []string{"hold hold/{hold}"}},
		{"suppressed_numbers", "1", map[string]string{"before_at": "'x'"}, []string{"erasure erasure/{erasure}", "erasure suppressed/1"}},
		{"users", "name = 'asha'", map[string]string{"created_at": "'x'", "user_groups": broken}, []string{"user user/asha"}},
		{"tokens", "name = 'wall'", map[string]string{"created_at": "'x'"}, []string{"token token/wall"}},
		{"program_versions", "1", map[string]string{"since_at": "since_at + 1"}, []string{"log log/versions"}},
		{"program_versions", "2", map[string]string{"since_at": "'x'"}, []string{"log log/versions"}},
	} {
		for _, c := range column(one.table, one.where, one.changes, one.want...) {
			c.name = "what cannot be read, " + c.name + " = " + one.changes[strings.TrimPrefix(c.name, one.table+".")]
			all = append(all, c)
		}
	}
	return all
}

// cutShort breaks a row that only one part needs: it says so and comes to no end,
// the others do; and once that row is well again, all do.
func cutShort(names *strings.Replacer) func(*testing.T, installation) {
	return func(t *testing.T, in installation) {
		t.Helper()
		breaks := names.Replace("INSERT INTO planned_files VALUES ('reports/x', '{run}', 'x', 'x', '', 1)")
		in.tamper(t, storage{}, breaks)
		if got, status := in.verify(t); status != exitWrong || got.Complete || got.Parts["log"] == 0 || got.Parts["rows"] == 0 {
			t.Errorf("status %d, %+v", status, got)
		}
		got := command(t, "", "verify", "--data", in.data)
		if text := []byte(got.stdout); !bytes.Contains(text, []byte("part  verify/objects: a row that it needs (size) cannot be read any more: what lies behind it was not looked at\n")) ||
			!bytes.HasSuffix(text, []byte("That is not all: a part of it came to no end, for a row that it needs cannot be read.\n")) {
			t.Errorf("people are told %s", text)
		}
		s, _ := in.openStored(t)
		if open := faultCount(t, s, call.AlertOpen); open != 2 {
			t.Errorf("%d faults are open", open)
		}
		// So the scrub has said, too, of its own parts.
		bad := &call.UnreadableError{Column: "size"}
		if _, err := s.NoteChecked(t.Context(), call.CutShort(scrubRecordings, bad), call.CutShort(scrubListing, bad)); err != nil {
			t.Fatal(err)
		}
		if in.verify(t, "--to", "2100-01-01"); faultCount(t, s, call.AlertOpen) != 4 {
			t.Error("the recordings of some days are taken for all that lies in the vault")
		}
		in.tamper(t, storage{}, "DELETE FROM planned_files")
		if got, status := in.verify(t); status != exitDone || !got.Complete || faultCount(t, s, call.AlertOpen) != 0 {
			t.Errorf("once the row is gone: status %d, %+v", status, got)
		}
		in.tamper(t, storage{}, breaks)
	}
}
