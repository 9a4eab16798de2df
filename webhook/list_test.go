package webhook

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"callvault/internal/call"
)

// deskRow is a row of call_list_v2 in the form of CallerDesk's documentation.
const deskRow = `{"id":"77","sid_id":"1672649960.9601","file":"https://newcallrecords.callerdesk.io/incoming/01_2023/x.wav",
 "deskphone":"1204567890","caller_name":"","member_name":"Ashish","caller_num":"09812345678","coin_deducted":"1","member_num":"09281234567",
 "startdatetime":"2023-01-02 14:32:30","enddatetime":"2023-01-02 14:33:34","total_duration":"64","talk_duration":"40","ringing_duration":9,
 "callresult":"Answered","callstatus":"ANSWER(16-customer)","group_name":"TestGroup","LegA_Picked_time":"2023-01-02 14:32:40",
 "LegB_Start_time":"2023-01-02 14:32:45","LegB_Picked_time":"2023-01-02 14:32:54","Flow_type":"IVR"}`

func decodeRow(t *testing.T, account, list string, e envelope) call.Item {
	t.Helper()
	d := &call.Delivery{Account: account, Query: listParameter + "=" + list, Body: e.body(), Source: call.SourceBackfill}
	newTestDecoder(t).Decode(d)
	if len(d.Items) != 1 {
		t.Fatalf("%d items", len(d.Items))
	}
	return d.Items[0]
}

// TestListedCallerDesk: a row alone makes the call that its report makes.
func TestListedCallerDesk(t *testing.T) {
	t.Parallel()
	l := decodeRow(t, "sales", listCalls, envelope{Result: []json.RawMessage{json.RawMessage(deskRow)}}).Leg
	if l == nil || !l.Listed || l.Key != call.ListedKey("1672649960.9601") {
		t.Fatalf("the row is %+v", l)
	}
	want := oneCall(t, "sales", callerDeskReport)
	want.Status = "ANSWER(16-customer)"
	if diff := cmp.Diff(want, call.Merge([]call.Leg{*l})); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff(oneItem(t, "sales", callerDeskReport).Leg.Recordings, l.Recordings); diff != "" {
		t.Error(diff)
	}
	// Beside its report it changes nothing.
	report := *oneItem(t, "sales", callerDeskReport).Leg
	if diff := cmp.Diff(call.Merge([]call.Leg{report}), call.Merge([]call.Leg{*l, report})); diff != "" {
		t.Error(diff)
	}
	// Outgoing, the customer is caller_num all the same; zeros are no times.
	out := strings.NewReplacer(`"IVR"`, `"WEBOBD"`, `"2023-01-02 14:32:54"`, `"0000-00-00 00:00:00"`, `"Answered"`, `"No Answer"`,
		"ANSWER(16-customer)", "Cancel-Customer with NOANSWER (0-customer)", `"talk_duration":"40"`, `"talk_duration":"0"`).Replace(deskRow)
	c := call.Merge([]call.Leg{*decodeRow(t, "sales", listCalls, envelope{Result: []json.RawMessage{json.RawMessage(out)}}).Leg})
	if c.Direction != call.Outbound || c.Outcome != call.Missed || c.CustomerNumber != "+919812345678" ||
		c.Agent.Number != "+919281234567" || !c.AnsweredAt.IsZero() {
		t.Errorf("outgoing: %+v", c)
	}
}

func TestListedTeleCMI(t *testing.T) {
	t.Parallel()
	const file = "1634720915260737218351_2222223.mp3"
	at := time.UnixMilli(1634720920615).UTC()
	row := func(more string) []json.RawMessage {
		return []json.RawMessage{json.RawMessage(`{"cmiuid":"u1","from":919812345678,"to":914440051100,"time":1634720920615,"rate":1,"name":"unknown"` + more + `}`)}
	}
	talked := `,"agent":"201_2222223","duration":11,"billedsec":60,"record":"true","filename":"` + file + `","notes":[{"msg":"x"}]`
	tests := []struct {
		name, list string
		e          envelope
		want       call.Call
		recordings []call.Wanted
	}{
		{"answered", listAnswered, envelope{CDR: row(talked)}, call.Call{Direction: call.Inbound, Outcome: call.Answered, CustomerNumber: "+919812345678",
			Agent: call.Agent{ID: "201"}, AnsweredAt: at, TalkSeconds: new(11)}, []call.Wanted{{Kind: call.Conversation, Source: file}}},
		{"missed", listMissed, envelope{CDR: row("")}, call.Call{Direction: call.Inbound, Outcome: call.Missed, CustomerNumber: "+919812345678",
			BusinessNumber: "+914440051100", StartedAt: at}, nil},
		{"voicemail of a missed call", listMissed, envelope{CDR: row(""), Voicemail: []json.RawMessage{json.RawMessage(`{"time":1634720920999,"from":919812345678,"voicename":"` + file + `"}`)}},
			call.Call{Direction: call.Inbound, Outcome: call.Voicemail, CustomerNumber: "+919812345678", BusinessNumber: "+914440051100", StartedAt: at},
			[]call.Wanted{{Kind: call.VoicemailMessage, Source: file}}},
		{"voicemail alone", listVoicemail, envelope{Voicemail: []json.RawMessage{json.RawMessage(`{"time":1634720920615,"from":919812345678,"voicename":"` + file + `"}`)}},
			call.Call{Direction: call.Inbound, Outcome: call.Voicemail, CustomerNumber: "+919812345678", StartedAt: at}, []call.Wanted{{Kind: call.VoicemailMessage, Source: file}}},
		{"out answered", listOutAnswered, envelope{CDR: row(talked)}, call.Call{Direction: call.Outbound, Outcome: call.Answered, CustomerNumber: "+914440051100",
			Agent: call.Agent{ID: "201"}, AnsweredAt: at, TalkSeconds: new(11)}, []call.Wanted{{Kind: call.Conversation, Source: file}}},
		{"out missed, the agent in from", listOutMissed, envelope{CDR: []json.RawMessage{json.RawMessage(`{"cmiuid":"u1","from":"201_2222223","to":914440051100,"time":"1634720920615"}`)}},
			call.Call{Direction: call.Outbound, Outcome: call.Missed, CustomerNumber: "+914440051100", Agent: call.Agent{ID: "201"}, StartedAt: at}, nil},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			it := decodeRow(t, "support", tt.list, tt.e)
			if it.Leg == nil {
				t.Fatal(it.Error)
			}
			got := call.Merge([]call.Leg{*it.Leg})
			part := call.Call{Direction: got.Direction, Outcome: got.Outcome, CustomerNumber: got.CustomerNumber, BusinessNumber: got.BusinessNumber,
				Agent: got.Agent, AnsweredAt: got.AnsweredAt, TalkSeconds: got.TalkSeconds}
			if got.Outcome != call.Answered {
				part.StartedAt = got.StartedAt
			}
			if diff := cmp.Diff(tt.want, part); diff != "" {
				t.Error(diff)
			}
			if diff := cmp.Diff(tt.recordings, it.Leg.Recordings); diff != "" {
				t.Error(diff)
			}
		})
	}
	for name, it := range map[string]call.Item{
		"no id":        decodeRow(t, "support", listAnswered, envelope{CDR: []json.RawMessage{json.RawMessage(`{"time":1}`)}}),
		"unknown list": decodeRow(t, "support", "other", envelope{CDR: row("")}),
		"no object":    decodeRow(t, "support", listMissed, envelope{CDR: []json.RawMessage{json.RawMessage(`"text"`)}}),
		"no row":       decodeRow(t, "support", listMissed, envelope{}),
		"no sid":       decodeRow(t, "sales", listCalls, envelope{Result: []json.RawMessage{json.RawMessage(`{"file":"x"}`)}}),
	} {
		if it.Outcome != call.Unreadable || it.Error == "" {
			t.Errorf("%s: %+v", name, it)
		}
	}
}

// listStore knows the rows that it was given, and notes what it is told.
type listStore struct {
	memory
	mu    sync.Mutex
	known map[string]bool
	rows  map[string]call.ListedRow
	days  map[string]call.ListDay
}

func newListStore() *listStore {
	s := &listStore{known: map[string]bool{}, rows: map[string]call.ListedRow{}, days: map[string]call.ListDay{}}
	s.fail = func(_ context.Context, batch []*call.Delivery) error {
		s.mu.Lock()
		defer s.mu.Unlock()
		for _, d := range batch {
			if l := d.Items[0].Leg; l != nil {
				s.known[l.Key] = true
				d.CallIDs = []string{"call of " + l.Key}
			}
		}
		return nil
	}
	return s
}

func (s *listStore) WouldTell(_ context.Context, rows []*call.Leg) ([]call.Told, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	told := make([]call.Told, len(rows))
	for i, l := range rows {
		if s.known[l.Key] {
			told[i].CallID = "call of " + l.Key
		}
	}
	return told, nil
}

func (s *listStore) NoteListed(_ context.Context, rows []call.ListedRow) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, r := range rows {
		s.rows[r.Key] = r
	}
	return nil
}

func (s *listStore) NoteListDay(_ context.Context, d call.ListDay) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.days[d.Day] = d
	return nil
}

func (s *listStore) ListDays(context.Context, string, string) (map[string]call.ListDay, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return maps.Clone(s.days), nil
}

const (
	testAuthCode = "authcode-that-is-secret"
	testSecret   = "secret-of-telecmi"
)

// newTestBackfiller asks a provider that is the handler; tries wait for
// nothing.
func newTestBackfiller(t *testing.T, provider http.HandlerFunc, s ListStore) *Backfiller {
	t.Helper()
	server := httptest.NewServer(provider)
	t.Cleanup(server.Close)
	b, err := NewBackfiller(BackfillOptions{
		Decoder: newTestDecoder(t), Store: s, Logger: slog.New(slog.DiscardHandler),
		Now: func() time.Time { return time.Date(2026, 11, 21, 12, 0, 0, 0, testZone) },
		Accounts: []ListAccount{
			{Name: "sales", APIURL: server.URL + "/api", AuthCode: testAuthCode, AllowPrivateNetworks: true},
			{Name: "support", APIURL: server.URL + "/v2", AppID: "2222223", Secret: testSecret, AllowPrivateNetworks: true},
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, a := range b.askers {
		a.pause = func(ctx context.Context, _ time.Duration) error { return ctx.Err() }
	}
	return b
}

// pagesOf serves n rows of a list as TeleCMI does: ten to a page, whatever
// limit is asked for.
func pagesOf(list string, n int) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		var q struct {
			AppID  json.Number `json:"appid"`
			Secret string
			Page   int
			Start  int64 `json:"start_date"`
		}
		if err := json.NewDecoder(r.Body).Decode(&q); err != nil || q.AppID != "2222223" || q.Secret != testSecret || q.Start == 0 {
			say(w, `{"code":407,"error":true,"msg":"Authentication Failed"}`)
			return
		}
		if r.URL.Path != "/v2/"+list {
			say(w, `{"count":0,"cdr":[],"voicemail":[],"code":200}`)
			return
		}
		var rows []string
		for i := (q.Page - 1) * 10; i < min(q.Page*10, n); i++ {
			rows = append(rows, fmt.Sprintf(`{"cmiuid":"u%d","from":919812345678,"to":914440051100,"time":%d}`, i, q.Start+int64(i)*60_000+3600_000))
		}
		say(w, fmt.Sprintf(`{"count":%d,"cdr":[%s],"code":200}`, n, strings.Join(rows, ",")))
	}
}

var today = BackfillRequest{From: time.Date(2026, 11, 21, 9, 0, 0, 0, testZone), To: time.Date(2026, 11, 21, 12, 0, 0, 0, testZone)}

func TestBackfill(t *testing.T) {
	t.Parallel()
	s := newListStore()
	b := newTestBackfiller(t, pagesOf(listAnswered, 25), s)
	q := today
	q.Account, q.DryRun = "support", true
	want := call.Backfill{Account: "support", From: time.Date(2026, 11, 21, 0, 0, 0, 0, testZone), To: q.To, Listed: 25, New: 25}
	run := func() {
		t.Helper()
		got, err := b.Backfill(t.Context(), q)
		if err != nil {
			t.Fatal(err)
		}
		got.StartedAt, got.EndedAt = time.Time{}, time.Time{}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Error(diff)
		}
	}
	run()
	if len(s.stored()) != 0 || len(s.rows) != 0 || len(s.days) != 0 {
		t.Error("a dry run changed something")
	}
	q.DryRun = false
	run()
	if len(s.stored()) != 25 || len(s.rows) != 25 || s.days["2026-11-21"].Error != "" {
		t.Errorf("%d deliveries, %d rows, days %v", len(s.stored()), len(s.rows), s.days)
	}
	for _, d := range s.stored() {
		// It can be decoded again from what is kept.
		again := call.Delivery{Account: d.Account, Query: d.Query, Body: d.Body, Source: d.Source, ContentType: d.ContentType}
		newTestDecoder(t).Decode(&again)
		if diff := cmp.Diff(d.Items[0].Leg, again.Items[0].Leg); diff != "" {
			t.Fatal(diff)
		}
	}
	// What is known leaves no delivery.
	want.New, want.Known = 0, 25
	run()
	if len(s.stored()) != 25 {
		t.Errorf("%d deliveries", len(s.stored()))
	}
	if _, err := b.Backfill(t.Context(), BackfillRequest{Account: "source"}); call.CodeOf(err) != call.Invalid {
		t.Errorf("an account without credentials gives %v", err)
	}
}

// TestListFaults: whatever the provider does, the work is bounded, what came
// is taken in, and the operator is told, but never a secret.
func TestListFaults(t *testing.T) {
	t.Parallel()
	deskPage := func(rows, total string) string {
		return `{"type":"success","result":[` + rows + `],"total":"` + total + `"}`
	}
	desk := func(i int) string { return fmt.Sprintf(`{"sid_id":"1.%d","startdatetime":"2026-11-21 10:00:00"}`, i) }
	text := func(body string) http.HandlerFunc {
		return func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "text/html")
			say(w, body)
		}
	}
	asked := func(most int, h http.HandlerFunc) http.HandlerFunc {
		n := 0
		var mu sync.Mutex
		return func(w http.ResponseWriter, r *http.Request) {
			mu.Lock()
			defer mu.Unlock()
			if n++; n > most {
				t.Errorf("asked more than %d times", most)
			}
			h(w, r)
		}
	}
	tests := []struct {
		name, account string
		provider      http.HandlerFunc
		listed        int
		says          string // in Error; empty: none
	}{
		{"no calls", "sales", asked(1, text(`{"type":"error","message":"No Record Found!"}`)), 0, ""},
		{"no calls either", "sales", asked(1, text(`{"type":"success","result":null,"total":0}`)), 0, ""},
		{"total is that of the page", "sales", asked(3, func(w http.ResponseWriter, r *http.Request) {
			rows := []string{}
			if page := r.PostFormValue("current_page"); page == "1" {
				for i := range 25 {
					rows = append(rows, desk(i))
				}
			} else if page == "2" {
				rows = append(rows, desk(30))
			}
			say(w, deskPage(strings.Join(rows, ","), fmt.Sprint(len(rows))))
		}), 26, ""},
		{"credentials", "sales", asked(1, text(`{"type":"error","message":"Invalid Auth Code! `+testAuthCode+`"}`)), 0, "does not take the account's credentials"},
		{"credentials of TeleCMI", "support", asked(1, text(`{"code":407,"error":true,"msg":"Authentication Failed"}`)), 0, "407 Authentication Failed"},
		{"another error", "sales", asked(1, text(`{"type":"error","message":"Something `+testAuthCode+`"}`)), 0, "quotes the credentials"},
		{"parameter", "support", asked(5, text(`{"code":404,"error":true,"msg":"Parameter missing"}`)), 0, "out_missed: page 1: the provider answered code 404 Parameter missing"},
		{"web page", "sales", asked(1, text("<html><h1>It works</h1>")), 0, "a web page"},
		{"garbage", "support", asked(5, text("\x00\xff{{{")), 0, "no JSON"},
		{"JSON of another kind", "sales", asked(1, text(`[1,2]`)), 0, "JSON of another form"},
		{"rows are no list", "sales", asked(1, text(`{"type":"success","result":"abc"}`)), 0, "no list"},
		{"rows are no objects", "sales", asked(1, text(`{"type":"success","result":[1,"x",[]],"total":3}`)), 3, ""},
		{"the same page again and again", "sales", asked(2, text(deskPage(desk(1)+","+desk(2), "50"))), 2, "repeats itself: page 2"},
		{"fewer than announced", "sales", asked(2, func(w http.ResponseWriter, r *http.Request) {
			if r.PostFormValue("current_page") == "1" {
				say(w, deskPage(desk(1), "7"))
			} else {
				say(w, deskPage("", "7"))
			}
		}), 1, "ended after 1 of 7"},
		{"a total that changes", "sales", asked(3, func(w http.ResponseWriter, r *http.Request) {
			page := r.PostFormValue("current_page")
			say(w, deskPage(desk(len(page)*10+int(page[0])), map[string]string{"1": "2", "2": "3", "3": "3"}[page]))
		}), 3, ""},
		{"no end", "sales", asked(maxPages, func(w http.ResponseWriter, r *http.Request) {
			say(w, fmt.Sprintf(`{"type":"success","total":99999999,"result":[{"sid_id":"p%s"}]}`, r.PostFormValue("current_page")))
		}), maxPages, "does not end"},
		{"busy at first", "sales", func() http.HandlerFunc {
			n := 0
			return func(w http.ResponseWriter, _ *http.Request) {
				if n++; n < 3 {
					w.Header().Set("Retry-After", "1")
					w.WriteHeader(http.StatusTooManyRequests)
					return
				}
				say(w, deskPage(desk(1), "1"))
			}
		}(), 1, ""},
		{"always broken", "sales", asked(askTries, func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(http.StatusBadGateway)
		}), 0, "asked 4 times: the provider answered 502"},
		{"half an answer", "sales", asked(askTries, func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Length", "1000")
			say(w, `{"type"`)
		}), 0, "asked 4 times"},
		{"forbidden", "sales", asked(1, func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusForbidden) }), 0, "403"},
		{"too much", "sales", asked(1, func(w http.ResponseWriter, _ *http.Request) {
			_, _ = io.CopyN(w, endless{}, maxAnswer+10) // the client leaves
		}), 0, "larger than"},
		{"redirected elsewhere", "sales", asked(1, func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Location", "http://127.0.0.2:1/?authcode="+testAuthCode)
			w.WriteHeader(http.StatusTemporaryRedirect)
		}), 0, "not on the list of allowed hosts"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			s := newListStore()
			q := today
			q.Account = tt.account
			got, err := newTestBackfiller(t, tt.provider, s).Backfill(t.Context(), q)
			if err != nil {
				t.Fatal(err)
			}
			if got.Listed != tt.listed || len(s.stored()) != tt.listed {
				t.Errorf("%d rows, %d deliveries, want %d", got.Listed, len(s.stored()), tt.listed)
			}
			if tt.says == "" && got.Error != "" || !strings.Contains(got.Error, tt.says) {
				t.Errorf("it says %q, want %q", got.Error, tt.says)
			}
			if s.days["2026-11-21"].Error == "" != (tt.says == "") {
				t.Errorf("the day is noted as %+v", s.days)
			}
			if all := fmt.Sprint(got, s.days); strings.Contains(all, testAuthCode) || strings.Contains(all, testSecret) {
				t.Errorf("a secret is told: %s", all)
			}
		})
	}
}

// say answers; a client may leave before.
func say(w http.ResponseWriter, text string) { _, _ = io.WriteString(w, text) }

type endless struct{}

func (endless) Read(p []byte) (int, error) {
	for i := range p {
		p[i] = ' '
	}
	return len(p), nil
}

// TestListFailsHalfway: the rows before a fault stay, and the next run takes
// the rest.
func TestListFailsHalfway(t *testing.T) {
	t.Parallel()
	s := newListStore()
	broken := true
	pages := pagesOf(listOutMissed, 35)
	b := newTestBackfiller(t, func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			t.Error(err)
		}
		if broken && strings.Contains(string(body), `"page":3`) {
			say(w, `{"code":500,"msg":"oops"}`)
			return
		}
		r.Body = io.NopCloser(strings.NewReader(string(body)))
		pages(w, r)
	}, s)
	q := today
	q.Account = "support"
	first, err := b.Backfill(t.Context(), q)
	if err != nil || first.New != 20 || !strings.Contains(first.Error, "page 3: the provider answered code 500 oops") {
		t.Errorf("%+v, %v", first, err)
	}
	broken = false
	second, err := b.Backfill(t.Context(), q)
	if err != nil || second.New != 15 || second.Known != 20 || second.Error != "" {
		t.Errorf("%+v, %v", second, err)
	}
	// A store that fails ends the run at once, with its own error.
	s.failWith(unavailable)
	s.known = map[string]bool{}
	if _, err := b.Backfill(t.Context(), q); call.CodeOf(err) != call.Unavailable {
		t.Errorf("a store that is away gives %v", err)
	}
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := b.Backfill(ended, q); !errors.Is(err, context.Canceled) {
		t.Errorf("a run that was ended gives %v", err)
	}
}

// TestVoicemailFindsItsCall: a voicemail goes to the nearest missed call of its
// number, and one of no call stands by itself.
func TestVoicemailFindsItsCall(t *testing.T) {
	t.Parallel()
	row := func(id string, from, at int64) json.RawMessage {
		return json.RawMessage(fmt.Sprintf(`{"cmiuid":%q,"from":%d,"time":%d}`, id, from, at))
	}
	const noon = 1_700_000_000_000
	voicemail := func(from, at int64) json.RawMessage {
		return json.RawMessage(fmt.Sprintf(`{"time":%d,"from":"%d","voicename":"v%d.mp3"}`, at, from, at))
	}
	missed := []json.RawMessage{row("early", 7, noon-60_000), row("earlier", 8, noon-60_000), row("a", 1, noon), row("b", 1, noon+120_000), row("c", 2, noon), json.RawMessage("3")}
	rows := pairVoicemail(missed, []json.RawMessage{voicemail(1, noon+130_000), voicemail(2, noon+600_000), voicemail(7, noon+1000), json.RawMessage("4")}, time.UnixMilli(noon))
	got := map[string]string{}
	for _, r := range rows {
		got[r.list+" "+string(slices.Concat(r.envelope.CDR...))] = string(slices.Concat(r.envelope.Voicemail...))
	}
	want := map[string]string{
		"missed " + string(missed[0]): string(voicemail(7, noon+1000)),
		"missed " + string(missed[2]): "",
		"missed " + string(missed[3]): string(voicemail(1, noon+130_000)),
		"missed " + string(missed[4]): "",
		"missed 3":                    "",
		"voicemail ":                  "4", // the last of the two that are alone
	}
	if diff := cmp.Diff(want, got); diff != "" || len(rows) != 7 {
		t.Errorf("%d rows, of %v\n%s", len(rows), slices.Sorted(maps.Keys(got)), diff)
	}
}

// FuzzLists: no answer of a provider breaks the reading of lists, and no row
// the decoder.
func FuzzLists(f *testing.F) {
	f.Add([]byte(`{"type":"success","result":[`+deskRow+`],"total":1}`), listCalls)
	f.Add([]byte(`{"type":"error","message":"Invalid Auth Code!"}`), listCalls)
	f.Add([]byte(`{"count":1,"cdr":[{"cmiuid":"u","from":1,"time":1634720920615,"record":"true"}],"code":200}`), listMissed)
	f.Add([]byte(`{"count":"1","voicemail":[{"time":1634720920615,"from":"1","voicename":"a.mp3"},{}],"code":"200"}`), listVoicemail)
	f.Add([]byte(`{"code":407,"msg":{"a":[]}}`), listOutAnswered)
	d := newTestDecoder(f)
	a := &asker{account: ListAccount{AuthCode: testAuthCode, Secret: testSecret}}
	f.Fuzz(func(t *testing.T, answer []byte, list string) {
		for account, read := range map[string]func() (listPage, error){
			"sales":   func() (listPage, error) { return a.readCallerDeskPage(answer) },
			"support": func() (listPage, error) { return a.readTeleCMIPage(list, answer) },
		} {
			page, err := read()
			if err != nil && len(page.rows) > 0 {
				t.Fatalf("rows and an error: %v", err)
			}
			rows := slices.Concat(plainRows(list, page.rows), pairVoicemail(page.rows, page.rows, testReceivedAt))
			for _, row := range page.rows {
				rows = append(rows, listedRow{list, envelope{Result: []json.RawMessage{row}}})
			}
			for _, row := range rows {
				del := &call.Delivery{Account: account, Query: listParameter + "=" + row.list, Body: row.envelope.body(), Source: call.SourceBackfill}
				d.Decode(del)
				if len(del.Items) != 1 || del.Items[0].Leg == nil && del.Items[0].Error == "" {
					t.Fatalf("%+v of %s", del.Items, del.Body)
				}
				if l := del.Items[0].Leg; l != nil && (!l.Listed || !strings.HasPrefix(l.Key, call.ListedKey(""))) {
					t.Fatalf("leg %+v", l)
				}
			}
		}
	})
}

// planStore is a BackfillStore of one node or several.
type planStore struct {
	taken   bool
	err     error
	results []call.Backfill
	next    []time.Duration
}

func (p *planStore) ClaimBackfill(context.Context, string, time.Duration) (string, error) {
	if p.taken {
		return "", p.err
	}
	return "token", p.err
}

func (p *planStore) EndBackfill(_ context.Context, token string, result call.Backfill, next time.Duration) error {
	if token != "token" {
		return errors.New("not the lease")
	}
	p.results, p.next = append(p.results, result), append(p.next, next)
	return nil
}

// TestScheduledBackfill: what came of it is kept, also of one that was broken
// off; what another node does is left to it.
func TestScheduledBackfill(t *testing.T) {
	t.Parallel()
	s := newListStore()
	b := newTestBackfiller(t, pagesOf(listMissed, 12), s)
	plan := BackfillPlan{Account: "support", Every: time.Hour, Window: 2 * time.Hour}
	told := 0
	run := func(ctx context.Context, p *planStore) error {
		return b.runPlan(ctx, plan, p, func(call.Backfill) { told++ })
	}
	p := &planStore{}
	if err := run(t.Context(), p); err != nil || len(p.results) != 1 || told != 1 || p.next[0] != time.Hour {
		t.Fatalf("%+v, %v", p, err)
	}
	if r := p.results[0]; r.New != 12 || r.Error != "" || !r.To.Equal(b.options.Now()) || r.From.Format(time.DateTime) != "2026-11-21 00:00:00" {
		t.Errorf("it came to %+v", r)
	}
	// The day before yesterday need not be read again so soon; yesterday's list
	// was not read to its end.
	plan.Window = 48 * time.Hour
	now := b.options.Now()
	s.days = map[string]call.ListDay{"2026-11-19": {ReadAt: now.Add(-time.Hour)}, "2026-11-20": {ReadAt: now.Add(-time.Hour), Error: "page 2"}, "2026-11-21": {ReadAt: now.Add(-time.Minute)}}
	if err := run(t.Context(), p); err != nil || p.results[1].Listed != 24 || s.days["2026-11-20"].Error != "" || !s.days["2026-11-19"].ReadAt.Before(now) {
		t.Errorf("%+v, days %v, %v", p.results[1], s.days, err)
	}
	told--
	plan.Window = 2 * time.Hour
	if err := run(t.Context(), &planStore{taken: true}); err != nil || told != 1 {
		t.Errorf("what another node does was done again, %v", err)
	}
	if err := run(t.Context(), &planStore{err: errors.New("away")}); err == nil {
		t.Error("a database that is away is nothing")
	}
	s.failWith(unavailable)
	s.known = map[string]bool{}
	p = &planStore{}
	if err := run(t.Context(), p); call.CodeOf(err) != call.Unavailable || len(p.results) != 1 || p.results[0].Error == "" || p.next[0] >= time.Hour || told != 1 {
		t.Errorf("broken off: %+v, %v", p, err)
	}
}

// TestBackfillRunEnds: with nothing due, and with an end.
func TestBackfillRunEnds(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := &Backfiller{options: BackfillOptions{Logger: slog.New(slog.DiscardHandler), Now: time.Now}}
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Minute)
		defer cancel()
		b.Run(ctx, []BackfillPlan{{Account: "support"}}, &planStore{taken: true}, nil)
	})
}
