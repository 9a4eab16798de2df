package main

import (
	"fmt"
	"log/slog"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"callvault/internal/call"
	"callvault/internal/store"
	"callvault/internal/testenv"
	"callvault/webhook"

	"github.com/google/go-cmp/cmp"
)

// What TeleCMI posts of a call. @x@ is a moment, x seconds after noon, sent as
// milliseconds since 1970.
const (
	teleGuest   = `{"type":"cdr","direction":"inbound","cmiuuid":"g","conversation_uuid":"g","virtual_number":918069123456,"from":919812345678,"status":"answered","user":"204_2222223","to":919281234567,"time":@10@,"answeredsec":30,"hangup_reason":"recv_bye"}`
	teleMissed  = `{"type":"cdr","direction":"inbound","cmiuuid":"g","conversation_uuid":"g","virtual_number":918069123456,"from":919812345678,"status":"missed","time":@40@,"waitedsec":37,"hangup_reason":"recv_bye"}`
	teleOffer   = `{"type":"cdr","direction":"inbound","leg":"b","cmiuuid":"o","conversation_uuid":"g","virtual_number":918069123456,"to":919281234501,"status":"missed","user":"201_2222223","time":@5@,"hangup_reason":"recv_cancel"}`
	teleWaiting = `{"type":"event","direction":"inbound","status":"waiting","cmiuuid":"g","conversation_uuid":"g","from":"919812345678","to":"918069123456","time":@-15@}`
	teleRung    = `{"type":"event","direction":"outbound","leg":"b","status":"started","cmiuuid":"o","conversation_uuid":"g","user":"201_2222223","from":"919812345678","time":@-5@}`
	teleOutA    = `{"type":"cdr","direction":"outbound","leg":"a","cmiuuid":"a","call_id":"c","virtual_number":"918069123456","to":919812345678,"user":"202_2222223","status":"answered","time":@2@,"answeredsec":25}`
	teleOutB    = `{"type":"cdr","direction":"outbound","leg":"b","cmiuuid":"b","call_id":"c","virtual_number":"918069123456","to":919812345678,"user":"202_2222223","status":"answered","time":@10.5@,"answeredsec":16,"hangup_reason":"sent_bye","filename":"@6@1_2222223.mp3"}`
	teleNoA     = `{"type":"cdr","direction":"outbound","leg":"a","cmiuuid":"a","call_id":"c","to":919812345678,"user":"202_2222223","status":"missed","time":@2@,"waitedsec":12,"hangup_reason":"recv_cancel"}`
	teleNoB     = `{"type":"cdr","direction":"outbound","leg":"b","cmiuuid":"b","call_id":"c","to":919812345678,"user":"202_2222223","status":"missed","time":@9@,"waitedsec":20,"hangup_reason":"recv_cancel"}`
	teleStarted = `{"type":"event","direction":"outbound","leg":"a","status":"started","cmiuuid":"a","call_id":"c","conversation_uuid":"v","user":"202_2222223","callerid":"918069123456","to":"919812345678","time":@-1.25@}`
	teleNamed   = `{"type":"cdr","direction":"outbound","leg":"b","cmiuuid":"b","call_id":"c","to":919812345678,"status":"%s","time":@10.5@,"answeredsec":16,"filename":"@%s@1_2222223.mp3"}`
	teleKeys    = `{"type":"cdr","direction":"outbound","leg":"%s","cmiuuid":"%[1]s","to":919812345678,"status":"missed","time":@2@%s}`
	piopiyGuest = `{"type":"cdr","direction":"inbound","leg":"a","cmiuuid":"g","conversation_uuid":"g","vn":"918069123456","from":919812345678,"to":918069123456,"status":"missed","time":@40@,"waitedsec":37,"hangup_reason":"recv_bye"}`
	piopiyTalks = `{"type":"cdr","direction":"inbound","leg":"a","cmiuuid":"g","conversation_uuid":"g","vn":"918069123456","from":919812345678,"to":918069123456,"status":"answered","time":@10@,"answer_time":@10@,"end_time":@40@}`
	piopiyAgent = `{"type":"cdr","direction":"outbound","leg":"b","cmiuuid":"o","conversation_uuid":"g","from":919812345678,"to":919281234501,"status":"missed","time":@5@,"hangup_reason":"recv_cancel"}`
	piopiyTook  = `{"type":"cdr","direction":"outbound","leg":"b","cmiuuid":"p","conversation_uuid":"g","from":919812345678,"to":919281234502,"status":"answered","time":@10@,"answer_time":@10@,"end_time":@40@}`
)

// TestTeleCMICalls follows what TeleCMI posts, through decoder and store, to
// the stored calls: whichever arrives first, they are the same.
func TestTeleCMICalls(t *testing.T) {
	t.Parallel()
	named := func(status, moment string) []string { return []string{fmt.Sprintf(teleNamed, status, moment)} }
	key := func(leg, ids string) string { return fmt.Sprintf(teleKeys, leg, ids) }
	tests := []struct {
		name  string
		posts []string
		want  []string // as told says
	}{
		{"inbound, answered", []string{teleGuest, teleOffer},
			[]string{"g: 2 legs, inbound answered, 5 to 10 to 40, wait - talk 30 total 35, +919812345678 with 204 +919281234567, not 201 +919281234501"}},
		{"inbound, with its true start", []string{teleGuest, teleOffer, teleWaiting},
			[]string{"g: 2 legs, inbound answered, -15 to 10 to 40, wait 25 talk 30 total 55, +919812345678 with 204 +919281234567, not 201 +919281234501"}},
		{"inbound, an agent's phone rings", []string{teleGuest, teleOffer, teleRung},
			[]string{"g: 2 legs, inbound answered, 5 to 10 to 40, wait - talk 30 total 35, +919812345678 with 204 +919281234567, not 201 +919281234501"}},
		{"inbound, missed", []string{teleMissed, teleOffer},
			[]string{"g: 2 legs, inbound abandoned, 5 to - to -, wait 37 talk - total 37, +919812345678, not 201 +919281234501"}},
		{"inbound, missed, with its true start", []string{teleMissed, teleWaiting},
			[]string{"g: 1 legs, inbound abandoned, -15 to - to -, wait 37 talk - total 37, +919812345678"}},
		{"outbound, answered", []string{teleOutA, teleOutB},
			[]string{"c: 2 legs, outbound answered, 2 to 10.5 to 26.5, wait - talk 16 total 24, +919812345678 with 202"}},
		{"outbound, with its true start", []string{teleOutA, teleOutB, teleStarted},
			[]string{"c: 2 legs, outbound answered, -1.25 to 10.5 to 26.5, wait 11 talk 16 total 27, +919812345678 with 202"}},
		{"outbound, missed by the customer", []string{teleOutA, teleNoB},
			[]string{"c: 2 legs, outbound missed, 2 to - to -, wait 20 talk - total 20, +919812345678 with 202"}},
		{"outbound, missed by the agent", []string{teleNoA},
			[]string{"c: 1 legs, outbound missed, 2 to - to -, wait 12 talk - total 12, +919812345678 with 202"}},
		{"outbound, missed, with its true start", []string{teleNoA, teleStarted},
			[]string{"c: 1 legs, outbound missed, -1.25 to - to -, wait 12 talk - total 12, +919812345678 with 202"}},

		// The moment in a recording's name is a start, if it can be one.
		{"recorded from before", named("answered", "6"), []string{"c: 1 legs, outbound answered, 6 to 10.5 to 26.5, wait - talk 16 total 20, +919812345678"}},
		{"recorded from two hours before", named("answered", "-7189.5"), []string{"c: 1 legs, outbound answered, -7189.5 to 10.5 to 26.5, wait - talk 16 total 7216, +919812345678"}},
		{"recorded from earlier", named("answered", "-7189.501"), []string{"c: 1 legs, outbound answered, 10.5 to 10.5 to 26.5, wait - talk 16 total 16, +919812345678"}},
		{"recorded from later", named("answered", "10.501"), []string{"c: 1 legs, outbound answered, 10.5 to 10.5 to 26.5, wait - talk 16 total 16, +919812345678"}},
		{"recorded, but missed", named("missed", "6"), []string{"c: 1 legs, outbound missed, 10.5 to - to -, wait - talk - total -, +919812345678"}},

		// PIOPIY sends the agent's leg of an inbound call as an outbound one.
		{"PIOPIY, missed", []string{piopiyGuest, piopiyAgent},
			[]string{"g: 2 legs, inbound abandoned, 5 to - to -, wait 37 talk - total 37, +919812345678, not +919281234501"}},
		{"PIOPIY, answered", []string{piopiyTalks, piopiyAgent, piopiyTook},
			[]string{"g: 3 legs, inbound answered, 5 to 10 to 40, wait - talk 30 total 35, +919812345678 with +919281234502, not +919281234501"}},
		{"PIOPIY, without the guest's leg", []string{piopiyTook},
			[]string{"g: 1 legs, outbound answered, 10 to 10 to 40, wait - talk 30 total 30, +919281234502"}},

		// A leg joins by the best identifier that it has.
		{"the call's id comes late", []string{key("a", ``), key("b", `,"call_id":"c"`), key("a", `,"call_id":"c"`)},
			[]string{"c: 2 legs, outbound missed, 2 to - to -, wait - talk - total -, +919812345678"}},
		{"the conversation's id comes late", []string{key("a", ``), key("b", `,"conversation_uuid":"v"`), key("a", `,"conversation_uuid":"v"`)},
			[]string{"v: 2 legs, outbound missed, 2 to - to -, wait - talk - total -, +919812345678"}},
		{"both get a better id", []string{key("a", `,"conversation_uuid":"v"`), key("b", `,"conversation_uuid":"v"`), key("a", `,"call_id":"c"`), key("b", `,"call_id":"c"`)},
			[]string{"c: 2 legs, outbound missed, 2 to - to -, wait - talk - total -, +919812345678"}},
		{"one gets a better id", []string{key("a", `,"conversation_uuid":"v"`), key("b", `,"conversation_uuid":"v"`), key("b", `,"call_id":"c"`)},
			[]string{"c: 1 legs, outbound missed, 2 to - to -, wait - talk - total -, +919812345678", "v: 1 legs, outbound missed, 2 to - to -, wait - talk - total -, +919812345678"}},
		{"nothing but their own ids", []string{key("a", ``), strings.Replace(key("b", ``), "cmiuuid", "cmiuid", 1)},
			[]string{"a: 1 legs, outbound missed, 2 to - to -, wait - talk - total -, +919812345678", "b: 1 legs, outbound missed, 2 to - to -, wait - talk - total -, +919812345678"}},
	}
	var accounts []webhook.Account
	for n := range tests {
		for o := range orders(len(tests[n].posts)) {
			accounts = append(accounts, webhook.Account{Name: fmt.Sprint(n, "-", o), Provider: call.TeleCMI, Zone: time.UTC, Region: "IN", AppID: "2222223"})
		}
	}
	decoder, err := webhook.NewDecoder(accounts, webhook.Hooks{})
	if err != nil {
		t.Fatal(err)
	}
	forEachDatabase(t, func(t *testing.T, s *store.Store) {
		for n, tt := range tests {
			all := orders(len(tt.posts))
			for step := range tt.posts {
				var batch []*call.Delivery
				for o, order := range all {
					d := &call.Delivery{Account: fmt.Sprint(n, "-", o), Method: "POST", Body: []byte(withMoments(t, tt.posts[order[step]])), ReceivedAt: noon.Add(time.Minute)}
					decoder.Decode(d)
					batch = append(batch, d)
				}
				if err := webhook.Record(t.Context(), s, slog.New(slog.DiscardHandler), batch); err != nil {
					t.Fatal(err)
				}
			}
			for o, order := range all {
				found, _, err := s.FindCalls(t.Context(), call.Filter{Account: fmt.Sprint(n, "-", o)})
				if err != nil {
					t.Fatal(err)
				}
				var got []string
				for _, c := range found {
					got = append(got, told(c.Call))
				}
				slices.Sort(got)
				if diff := cmp.Diff(tt.want, got); diff != "" {
					t.Errorf("%s, in the order %v: %s", tt.name, order, diff)
				}
			}
		}
	})
}

func forEachDatabase(t *testing.T, test func(t *testing.T, s *store.Store)) {
	t.Helper()
	run := func(o store.Options) func(*testing.T) {
		return func(t *testing.T) {
			t.Parallel()
			s, err := store.Open(t.Context(), o)
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() {
				if err := s.Close(); err != nil {
					t.Error(err)
				}
			})
			test(t, s)
		}
	}
	t.Run("SQLite", run(store.Options{Path: filepath.Join(t.TempDir(), databaseFile)}))
	t.Run("PostgreSQL", run(store.Options{DSN: testenv.Postgres(t)}))
}

// orders are all orders of n things.
func orders(n int) [][]int {
	if n == 0 {
		return [][]int{nil}
	}
	var all [][]int
	for _, order := range orders(n - 1) {
		for i := range n {
			all = append(all, slices.Insert(slices.Clone(order), i, n-1))
		}
	}
	return all
}

var (
	noon   = time.Date(2026, 11, 20, 12, 0, 0, 0, time.UTC)
	moment = regexp.MustCompile(`@([-.0-9]+)@`)
)

func withMoments(t *testing.T, post string) string {
	t.Helper()
	return moment.ReplaceAllStringFunc(post, func(s string) string {
		after, err := time.ParseDuration(strings.Trim(s, "@") + "s")
		if err != nil {
			t.Fatal(err)
		}
		return strconv.FormatInt(noon.Add(after).UnixMilli(), 10)
	})
}

// told says on one line what matters of a call: started to answered to ended
// in seconds after noon, and the durations.
func told(c call.Call) string {
	at := func(m time.Time) string {
		if m.IsZero() {
			return "-"
		}
		return strconv.FormatFloat(m.Sub(noon).Seconds(), 'f', -1, 64)
	}
	seconds := func(n *int) string {
		if n == nil {
			return "-"
		}
		return strconv.Itoa(*n)
	}
	text := fmt.Sprintf("%s: %d legs, %s %s, %s to %s to %s, wait %s talk %s total %s, %s", c.Key, c.LegsCount, c.Direction, c.Outcome,
		at(c.StartedAt), at(c.AnsweredAt), at(c.EndedAt), seconds(c.WaitSeconds), seconds(c.TalkSeconds), seconds(c.TotalSeconds), c.CustomerNumber)
	for i, a := range append([]call.Agent{c.Agent}, c.Offers...) {
		switch who := strings.TrimSpace(a.ID + " " + a.Number); {
		case i > 0:
			text += ", not " + who
		case who != "":
			text += " with " + who
		}
	}
	return text
}
