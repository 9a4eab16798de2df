package main

import (
	"fmt"
	"testing"
	"time"
)

// joinTwo lets two calls turn out to be one, whose business number no other call
// has.
func joinTwo(t *testing.T, in installation) {
	t.Helper()
	at := time.Now().Add(-time.Hour).UnixMilli()
	for _, leg := range [][2]string{{"g", "g"}, {"o", "z"}, {"o", "g"}} {
		line := fmt.Sprintf(`{"type":"cdr","direction":"inbound","leg":"b","cmiuuid":%q,"conversation_uuid":%q,"virtual_number":918069000001,"to":919281234501,"status":"missed","user":"201_2222223","time":%d}`, leg[0], leg[1], at)
		if got := command(t, line, "import", "-", "--account", "support", "--data", in.data); got.status != exitDone {
			t.Fatalf("import: %+v", got)
		}
	}
}

// tamperedIdentifiers are changes of the rows by which calls are found, and of since
// when one rang. {joined} is the call that the id {former} leads to.
func tamperedIdentifiers() []tampered {
	joined, former, key := []string{"call call/{joined}"}, []string{"redirect redirect/{former}"}, "account || '/' || value = (SELECT account || '/' || call_key FROM calls WHERE id = '{call}')"
	return []tampered{
		{name: "identifier that links is gone", change: "DELETE FROM call_links WHERE call_id = '{joined}'", want: joined},
		{name: "identifier that links, spelled otherwise", change: "UPDATE call_links SET value = value || 'x' WHERE call_id = '{joined}'", want: joined},
		{name: "identifier that links leads elsewhere", change: "UPDATE call_links SET call_id = '{call}' WHERE call_id = '{joined}'", want: []string{"call call/{call}", "call call/{joined}"}},
		{name: "identifier that never linked", change: "INSERT INTO call_links (value, kind, account, call_id) VALUES ('x', 'other', 'sales', '{call}')", want: []string{"call call/{call}"}},
		{name: "number of the business is gone", change: "DELETE FROM own_numbers WHERE number = '+918069000001'", want: joined},
		{name: "number of the business, as nobody asks for it", change: "UPDATE own_numbers SET rev = '1' WHERE number = '+918069000001'", want: joined},
		{name: "identifier that decides is gone", change: "DELETE FROM call_keys WHERE " + key, want: []string{"leg leg/{leg}"}},
		{name: "identifier that decides leads elsewhere", change: "UPDATE call_keys SET call_id = '{joined}' WHERE " + key, want: []string{"identifier identifier/{joined}", "leg leg/{leg}"}},
		{name: "identifier that never decided", change: "INSERT INTO call_keys (value, kind, account, call_id) VALUES ('x', 'call', 'sales', '{call}')", want: []string{"identifier identifier/{call}"}},
		{name: "identifier that leads to no call", change: "INSERT INTO call_keys (value, kind, account, call_id) VALUES ('x', 'call', 'sales', 'x')", want: []string{"identifier identifier/x"}},
		{
			name:   "since when it rang is gone", // which another of its legs knows, too
			change: `UPDATE legs SET facts = replace(facts, '"live_from":"' || json_extract(facts, '$.live_from') || '",', '') WHERE account || '/' || leg_key = '{live leg}'`,
			want:   []string{"delivery delivery/{live delivery}"},
		},
		{name: "former id is gone", change: "DELETE FROM call_redirects", want: former},
		{name: "former id leads elsewhere", change: "UPDATE call_redirects SET call_id = '{call}'", want: former},
		{name: "former id leads nowhere", change: "UPDATE call_redirects SET call_id = 'x'", want: former},
		{name: "call, as if it were part of another", change: "INSERT INTO call_redirects (id, call_id) VALUES ('{call}', '{joined}')", want: []string{"redirect redirect/{call}"}},
	}
}
