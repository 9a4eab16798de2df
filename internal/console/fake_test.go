package console_test

import (
	"bytes"
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"slices"
	"strconv"
	"sync"
	"testing"
	"time"

	"callvault/internal/audit"
	"callvault/internal/call"
	"callvault/internal/console"

	"github.com/gorilla/mux"
	"github.com/prometheus/client_golang/prometheus"
)

// fakeStore holds in memory what a test puts in. If err is set, everything
// fails with it but the tokens.
type fakeStore struct {
	mu         sync.Mutex
	calls      []call.CallDetail
	liveCalls  []call.LiveCall
	deliveries []call.Delivery
	runs       []call.Run
	drifts     []call.Drift
	alerts     []call.Alert
	// faultFilter is what was asked for last.
	faultFilter call.FaultFilter
	holds       []call.Hold
	backfills   map[string]call.BackfillState
	reconciled  map[string]call.Reconciliation // by day
	tokens      map[[32]byte]call.Token
	users       map[string]call.User
	sessions    map[[32]byte]call.Session
	// networks are those from which somebody has logged in, as "NAME NETWORK".
	networks map[string]bool
	endErr   error // of EndSession
	entries  []audit.Entry
	auditErr error
	err      error
	liveErr  error
	panics   bool
	exports  []call.Export
	// What was asked last.
	filter         call.Filter
	deliveryFilter call.DeliveryFilter
	runFilter      call.RunFilter
	driftFilter    call.DriftFilter
	alertFilter    call.AlertFilter
	exportFilter   call.ExportFilter
	tokenLookups   int
}

// page cuts a page as the store would; its cursors are positions.
func page[T any](all []T, limit int, cursor string) ([]T, string, error) {
	at := 0
	if cursor != "" {
		var err error
		if at, err = strconv.Atoi(cursor); err != nil || at > len(all) {
			return nil, "", call.Errorf(call.Invalid, "cursor is not one that a page ended with")
		}
	}
	end := min(at+limit, len(all))
	if end == len(all) {
		return all[at:end], "", nil
	}
	return all[at:end], strconv.Itoa(end), nil
}

func (s *fakeStore) FindCalls(_ context.Context, f call.Filter) ([]call.CallWithRecordings, string, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.filter = f
	if s.panics {
		panic("the store panics")
	}
	if s.err != nil {
		return nil, "", s.err
	}
	var found []call.CallWithRecordings
	for _, c := range s.calls {
		if len(f.Groups) == 0 || slices.Contains(f.Groups, c.Group) {
			found = append(found, c.CallWithRecordings)
		}
	}
	return page(found, f.Limit, f.Cursor)
}

func (s *fakeStore) Call(_ context.Context, id string) (call.CallDetail, error) {
	if s.err != nil {
		return call.CallDetail{}, s.err
	}
	for _, c := range s.calls {
		if c.ID == id {
			return c, nil
		}
	}
	return call.CallDetail{}, call.Errorf(call.NotFound, "no call %s", id)
}

func (s *fakeStore) LiveCalls(_ context.Context, maxAge time.Duration) ([]call.LiveCall, error) {
	if maxAge <= 0 {
		return nil, errors.New("live calls of no age")
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.liveErr != nil {
		return nil, s.liveErr
	}
	return slices.Clone(s.liveCalls), s.err
}

// setLive changes the calls in progress while somebody may look.
func (s *fakeStore) setLive(err error, calls ...call.LiveCall) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.liveCalls, s.liveErr = calls, err
}

func (s *fakeStore) Recording(_ context.Context, id string) (call.Recording, error) {
	for _, c := range s.calls {
		for _, r := range c.Recordings {
			if r.ID == id {
				return r, s.err
			}
		}
	}
	return call.Recording{}, call.Errorf(call.NotFound, "no recording %s", id)
}

func (s *fakeStore) FindDeliveries(_ context.Context, f call.DeliveryFilter) ([]call.Delivery, string, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.deliveryFilter = f
	if s.err != nil {
		return nil, "", s.err
	}
	return page(s.deliveries, f.Limit, f.Cursor)
}

func (s *fakeStore) Delivery(_ context.Context, id int64) (call.Delivery, error) {
	for _, d := range s.deliveries {
		if d.ID == id {
			return d, s.err
		}
	}
	return call.Delivery{}, call.Errorf(call.NotFound, "no delivery %d", id)
}

func (s *fakeStore) FindRuns(_ context.Context, f call.RunFilter) ([]call.Run, string, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.runFilter = f
	if s.err != nil {
		return nil, "", s.err
	}
	found := s.runs
	if len(f.Reports) > 0 || f.Report != "" {
		found = slices.DeleteFunc(slices.Clone(found), func(r call.Run) bool {
			return len(f.Reports) > 0 && !slices.Contains(f.Reports, r.Report) || f.Report != "" && r.Report != f.Report
		})
	}
	return page(found, f.Limit, f.Cursor)
}

func (s *fakeStore) Analysis(_ context.Context, id string) (call.Analysis, error) {
	switch id {
	case "rec-1":
		return call.Analysis{State: call.Analysed, Silence: []float64{0.25}, Peaks: [][]byte{{0, 7, 255}}, AnalysedAt: time.Date(2023, 1, 2, 9, 5, 0, 0, time.UTC)}, nil
	case "rec-strange":
		return call.Analysis{State: call.NotAnalysed, Reason: "mp2 is not decoded"}, nil
	}
	return call.Analysis{State: call.AnalysisPending}, nil
}

func (s *fakeStore) Readiness(context.Context) ([]call.Readiness, error) {
	sales := call.Readiness{Account: "sales", UpdatedAt: time.Date(2023, 1, 2, 9, 0, 0, 0, time.UTC)}
	for range 60 {
		sales.Learn(call.ReadyInterval{After: 20 * time.Second, Until: 30 * time.Second})
	}
	return []call.Readiness{sales}, nil
}

func (s *fakeStore) Backfills(context.Context) (map[string]call.BackfillState, error) {
	return s.backfills, s.err
}

func (s *fakeStore) Reconcile(_ context.Context, f call.ReconciliationFilter) (call.Reconciliation, error) {
	r := s.reconciled[f.Account+" "+f.Day]
	if hours := f.To.Sub(f.From).Hours(); hours != 24 || f.From.Format(time.DateOnly) != f.Day {
		return r, errors.New("the day is not one")
	}
	r.Counts = maps.Clone(r.Counts)
	if r.Counts == nil {
		r.Counts = map[call.Reason]int64{}
	}
	r.Differences = slices.Clone(r.Differences[:min(len(r.Differences), f.Limit)])
	return r, s.err
}

func (s *fakeStore) FindDrift(_ context.Context, f call.DriftFilter) ([]call.Drift, string, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.driftFilter = f
	if s.err != nil {
		return nil, "", s.err
	}
	return page(s.drifts, f.Limit, f.Cursor)
}

func (s *fakeStore) FindAlerts(_ context.Context, f call.AlertFilter) ([]call.Alert, string, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.alertFilter = f
	if s.err != nil {
		return nil, "", s.err
	}
	return page(s.alerts, f.Limit, f.Cursor)
}

func (s *fakeStore) FindFaults(_ context.Context, f call.FaultFilter) ([]call.FoundFault, string, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.faultFilter = f
	if s.err != nil {
		return nil, "", s.err
	}
	seen := time.Date(2023, 1, 2, 9, 0, 0, 0, time.UTC)
	return page([]call.FoundFault{
		{Fault: call.Fault{Kind: call.FaultMissing, Where: "calls/2023/01/02/sales/rec-1.wav", What: "it is not in the vault"}, ID: "f2", FirstSeen: seen, LastSeen: seen.Add(time.Hour)},
		{Fault: call.Fault{Kind: call.FaultCall, Where: "call/call-2", What: "not its legs"}, ID: "f1", FirstSeen: seen, LastSeen: seen, ClosedAt: seen.Add(time.Hour)},
	}, f.Limit, f.Cursor)
}

func (s *fakeStore) Run(_ context.Context, id string) (call.Run, error) {
	for _, r := range s.runs {
		if r.ID == id {
			return r, s.err
		}
	}
	return call.Run{}, call.Errorf(call.NotFound, "no run %s", id)
}

func (s *fakeStore) TokenByHash(_ context.Context, hash [32]byte) (call.Token, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.tokenLookups++
	if t, ok := s.tokens[hash]; ok {
		return t, nil
	}
	return call.Token{}, call.Errorf(call.NotFound, "no such token")
}

func (s *fakeStore) AddExport(_ context.Context, e call.Export) (call.Export, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	e.ID, e.State = "export-new", call.ExportWaiting
	s.exports = append(s.exports, e)
	return e, s.err
}

func (s *fakeStore) FindExports(_ context.Context, f call.ExportFilter) ([]call.Export, string, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.exportFilter = f
	return page(s.exports, f.Limit, f.Cursor)
}

func (s *fakeStore) Export(_ context.Context, id string) (call.Export, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, e := range s.exports {
		if e.ID == id {
			return e, s.err
		}
	}
	return call.Export{}, call.Errorf(call.NotFound, "no export %s", id)
}

func (s *fakeStore) RemoveExport(ctx context.Context, id string) (call.Export, error) {
	e, err := s.Export(ctx, id)
	e.State = call.ExportRemoved
	return e, err
}

// fakeVault holds objects in memory and counts what is opened and closed.
type fakeVault struct {
	mu      sync.Mutex
	objects map[string][]byte
	opened  []int64 // the offsets
	closed  int
}

type countedBody struct {
	io.Reader
	vault *fakeVault
}

func (b countedBody) Close() error {
	b.vault.mu.Lock()
	defer b.vault.mu.Unlock()
	b.vault.closed++
	return nil
}

func (v *fakeVault) Open(_ context.Context, key string, offset, length int64) (io.ReadCloser, error) {
	v.mu.Lock()
	defer v.mu.Unlock()
	o, ok := v.objects[key]
	if !ok {
		return nil, call.Errorf(call.NotFound, "no object at s3://secret-bucket/%s", key)
	}
	if offset > int64(len(o)) || length != -1 {
		return nil, errors.New("open outside of the object")
	}
	v.opened = append(v.opened, offset)
	return countedBody{bytes.NewReader(o[offset:]), v}, nil
}

// logged is a log that a test reads.
type logged struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *logged) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *logged) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

// entries are the log's records with this message.
func (l *logged) entries(t *testing.T, message string) []map[string]any {
	t.Helper()
	var found []map[string]any
	for line := range bytes.Lines([]byte(l.String())) {
		var e map[string]any
		if err := json.Unmarshal(line, &e); err != nil {
			t.Fatalf("log line %q: %v", line, err)
		}
		if e["msg"] == message {
			found = append(found, e)
		}
	}
	return found
}

// house is a console with its fakes, served over HTTP as cmd serves it.
type house struct {
	store   *fakeStore
	vault   *fakeVault
	log     *logged
	ready   map[string]error
	notices map[string]string
	url     string
	console *console.Console
	// handler is what is served at url.
	handler http.Handler
	// settle ends the server when all its requests are done, also what they
	// do after their answer.
	settle func()
	clock  time.Time
}

const audioBytes = 100_000

// The tokens of every house; each is the name of what it may do.
const (
	viewer       = "viewer-token-aaaaaaaaaaaa"
	manager      = "manager-token-aaaaaaaaaaa"
	compliance   = "compliance-token-aaaaaaaa"
	admin        = "admin-token-aaaaaaaaaaaaa"
	salesManager = "sales-manager-token-aaaaa"
	salesAdmin   = "sales-admin-token-aaaaaaa"
	disabled     = "disabled-token-aaaaaaaaaa"
)

func newHouse(t *testing.T) *house {
	t.Helper()
	return newHouseWith(t, func(*console.Options) {})
}

func newHouseIn(t *testing.T, zone *time.Location) *house {
	t.Helper()
	return newHouseWith(t, func(o *console.Options) {
		o.Zone = zone
		for i := range o.Accounts {
			o.Accounts[i].Zone = cmp.Or(zone, time.UTC)
		}
	})
}

// newHouseWith is a house with other options.
func newHouseWith(t *testing.T, change func(*console.Options)) *house {
	t.Helper()
	audio := make([]byte, audioBytes)
	for i := range audio {
		audio[i] = byte(i * 7)
	}
	hash := sha256.Sum256(audio)
	h := &house{
		store: &fakeStore{tokens: map[[32]byte]call.Token{}},
		vault: &fakeVault{objects: map[string][]byte{
			"calls/2023/01/02/sales/rec-1.wav":       audio,
			"reports/daily/2023-01-02/calls.csv":     []byte("call_id\r\ncall-1\r\n"),
			"calls/2023/01/02/sales/rec-strange.bin": []byte("<html>"),
			"exports/export-1/a-000001":              []byte("0123456789"),
			"exports/export-1/a-000002":              []byte("abcdefghij"),
			"exports/export-1/a-000003":              []byte("XYZ"),
		}},
		log:   &logged{},
		clock: time.Date(2023, 1, 3, 7, 0, 0, 0, time.UTC),
	}
	for text, token := range map[string]call.Token{
		viewer:       {Role: call.Viewer},
		manager:      {Role: call.Manager},
		compliance:   {Name: "counsel", Role: call.Compliance},
		admin:        {Name: "root", Role: call.Admin},
		salesManager: {Role: call.Manager, Groups: []string{"Sales"}},
		salesAdmin:   {Role: call.Admin, Groups: []string{"Sales"}},
		disabled:     {Role: call.Admin, Disabled: true},
	} {
		h.store.tokens[sha256.Sum256([]byte(text))] = token
	}
	h.furnish(hex.EncodeToString(hash[:]))

	logger := slog.New(slog.NewJSONHandler(h.log, nil))
	registry := prometheus.NewRegistry()
	seen := prometheus.NewCounter(prometheus.CounterOpts{Name: "callvault_test_total", Help: "Seen."})
	registry.MustRegister(seen)
	seen.Inc()
	router := mux.NewRouter()
	options := console.Options{
		Store:    h.store,
		Vault:    h.vault,
		Retainer: h,
		Registry: registry,
		Ready:    func(context.Context) map[string]error { return h.ready },
		Notices:  func() map[string]string { return h.notices },
		Logger:   logger,
		Now:      func() time.Time { return h.clock },
		Version:  "1.2.3",
		Locks:    true,
		Accounts: []console.Account{
			{Name: "sales", Zone: time.UTC, CanBackfill: true, BackfillEvery: time.Hour, BackfillWindow: 48 * time.Hour},
			{Name: "support", Zone: time.UTC, CanBackfill: true, BackfillWindow: 48 * time.Hour},
			{Name: "plain", Zone: time.UTC, BackfillEvery: time.Hour, BackfillWindow: 48 * time.Hour},
		},
	}
	change(&options)
	h.console = console.New(options)
	h.console.Routes(router)
	h.handler = console.ClientAddress(console.AccessLog(console.Recover(console.SecurityHeaders(router), logger), logger),
		[]netip.Prefix{netip.MustParsePrefix("127.0.0.1/32")})
	server := httptest.NewServer(h.handler)
	t.Cleanup(server.Close)
	t.Cleanup(h.console.EndStreams) // first
	h.url, h.settle = server.URL, server.Close
	return h
}

// furnish puts in a call with everything, a poor call of another group, and
// what belongs to them.
func (h *house) furnish(audioHash string) {
	at := func(clock string) time.Time {
		t, err := time.Parse(time.DateTime, "2023-01-02 "+clock)
		if err != nil {
			panic(err)
		}
		return t
	}
	const source = "https://newcallrecords.callerdesk.io/incoming/01_2023/x-9601.wav"
	raw := func(s string) json.RawMessage { return json.RawMessage(s) }
	agent := call.Agent{Name: "Ashish", Number: "+919281234567"}
	rich := call.Call{
		ID: "call-1", Account: "sales", Provider: call.CallerDesk, Key: "1672649960.9601", KeyKind: call.KeyCall,
		Direction: call.Inbound, Outcome: call.Answered, Status: "ANSWER",
		CustomerNumber: "+919812345678", BusinessNumber: "+911204567890", Agent: agent, Group: "Sales",
		StartedAt: at("09:02:30"), AnsweredAt: at("09:02:54").Add(500 * time.Millisecond), EndedAt: at("09:03:34"),
		WaitSeconds: new(0), TalkSeconds: new(40), TotalSeconds: new(64), Cost: "1", LegsCount: 1,
	}
	archived := call.Recording{
		ID: "rec-1", CallID: "call-1", Account: "sales", Provider: call.CallerDesk, Kind: call.Conversation,
		Source: source, State: call.Archived, ObjectKey: "calls/2023/01/02/sales/rec-1.wav", Size: audioBytes,
		SHA256: audioHash, MediaType: "audio/wav", AudioSeconds: new(40),
		Media:      call.Media{Format: call.WAV, Codec: "pcm_mulaw", Channels: 1, SampleRate: 8000, BitRate: 64000, Truncated: true, Flags: []call.MediaFlag{call.NoLength}},
		ArchivedAt: at("09:04:00"), Rule: "group Sales: 3y", RetainUntil: at("09:02:30").AddDate(3, 0, 0), DueAt: at("09:02:30").AddDate(3, 0, 0), Attempts: 1,
	}
	refused := archived
	refused.ID, refused.Kind, refused.State, refused.Reason = "rec-2", call.VoicemailMessage, call.Refused, "X-9601.WAV is an image"
	refused.ObjectKey, refused.SHA256, refused.Size, refused.MediaType, refused.AudioSeconds = "", "", 0, "", nil
	refused.ArchivedAt, refused.RetainUntil, refused.DueAt, refused.Rule = time.Time{}, time.Time{}, time.Time{}, ""
	strange := archived
	strange.ID, strange.ObjectKey, strange.MediaType, strange.Size = "rec-strange", "calls/2023/01/02/sales/rec-strange.bin", "text/html", 6
	strange.Source = "https://open.example.org/9/a" // its last part is in everything
	lost := archived
	lost.ID, lost.ObjectKey = "rec-lost", "calls/2023/01/02/sales/rec-lost.wav"
	short := archived
	short.ID, short.Size = "rec-short", audioBytes+1
	delivery := call.Delivery{
		Source: call.SourceWebhook,
		ID:     7, Account: "sales", ReceivedAt: at("09:03:40"), Method: "POST", ContentType: "application/json",
		Query: "a=1", Body: []byte(`{"CallSid":"1672649960.9601"}`), RemoteAddress: "192.0.2.7",
		Outcome: call.Recorded, CallIDs: []string{"call-1", "call-2"},
	}
	binary := call.Delivery{
		ID: 8, Account: "sales", ReceivedAt: at("09:03:41"), Method: "POST", Body: []byte{0xff, 0x00, 'x'},
		RemoteAddress: "192.0.2.7", Outcome: call.Unreadable, Error: "the body is neither JSON nor a form",
	}
	h.store.holds = []call.Hold{
		{ID: "hold-1", Name: "Case 7", Reason: "court order", CallIDs: []string{"call-1"}, PlacedAt: at("10:00:00"), PlacedBy: "root", TwoPerson: true},
		{ID: "hold-2", Name: "Over", Reason: "audit", Filter: &call.Filter{Number: "12"}, Until: at("10:00:00"), PlacedAt: at("10:00:00"), PlacedBy: "root",
			Released: &call.HoldRelease{At: at("11:00:00"), By: "counsel", Reason: "done"}},
	}
	told := delivery
	told.Body = nil
	h.store.calls = []call.CallDetail{{
		CallWithRecordings: call.CallWithRecordings{Call: rich, Recordings: []call.Recording{archived, refused, strange, lost, short}},
		Legs: []call.Leg{{
			Account: "sales", Provider: call.CallerDesk, Key: "1672649960.9601", Side: call.SideB, Status: "ANSWER", Agent: agent,
			StartedAt: at("09:02:30"), AnsweredAt: at("09:02:54"), EndedAt: at("09:03:34"), TalkSeconds: new(40),
			HangupCause: "16", Recordings: []call.Wanted{{Kind: call.Conversation, Source: source}},
			Attributes: call.Attributes{
				"CallRecordingUrl": raw(`"` + source + `?sig=1"`),
				"filename":         raw(`"1634720915260737218351_2222223.mp3"`),
				"voicename":        raw(`"y.mp3"`),
				"record":           raw(`true`),
				"file":             raw(`"z.wav"`),
				"record_url":       raw(`"https://example.org/z.wav"`),
				"extra_params":     raw(`"{\"link\":\"https:\\/\\/newcallrecords.callerdesk.io\\/incoming\\/01_2023\\/x-9601.wav\"}"`),
				"custom":           raw(`"{\"filename\":\"other.mp3\"}"`),
				"link":             raw(`"see https://open.example.org/9/a?b=2&c=3"`),
				"nested":           raw(`{"list":["X-9601.WAV"]}`),
				"broken":           raw(`"` + "\xff" + `"`),
				"CallSid":          raw(`"1672649960.9601"`),
				"from":             raw(`919812345678`),
				"TalkDuration":     raw(`"40"`),
			},
		}},
		Deliveries: []call.Delivery{told},
	}, {
		CallWithRecordings: call.CallWithRecordings{
			Call: call.Call{ID: "call-2", Account: "support", Provider: call.TeleCMI, Key: "k2", Outcome: call.Missed, Group: "Billing", LegsCount: 1},
			Recordings: []call.Recording{{ID: "rec-billing", CallID: "call-2", Account: "support", Kind: call.Conversation,
				Source: "a_1.mp3", State: call.Pending, Attempts: 2, LastError: "the host answers 502"}},
		},
		Legs: []call.Leg{{Account: "support", Provider: call.TeleCMI, Key: "k2"}},
	}, {
		CallWithRecordings: call.CallWithRecordings{
			Call: call.Call{ID: "call-3", Account: "support", Provider: call.TeleCMI, Key: "k3", Outcome: call.Unknown, LegsCount: 1},
		},
	}}
	h.store.deliveries = []call.Delivery{delivery, binary}
	h.store.liveCalls = []call.LiveCall{
		{Account: "sales", Key: call.Key{Kind: call.KeyCall, Value: "live-1"}, Direction: call.Inbound, State: call.Ringing,
			CustomerNumber: "+919812345678", BusinessNumber: "+911204567890", Agent: agent, Group: "Sales", Since: h.clock.Add(-2 * time.Minute), StateSince: h.clock.Add(-90*time.Second - time.Millisecond), At: h.clock},
		{Account: "support", Key: call.Key{Kind: call.KeyConversation, Value: "live-2"}, State: call.Talking, Group: "Billing"},
	}
	h.store.alerts = []call.Alert{
		{ID: "a2", Kind: call.AlertSilence, Account: "sales", Since: at("08:00:00"), OpenedAt: at("09:00:00"), Opening: "No call report has come."},
		{ID: "a1", Kind: call.AlertPaused, Account: "support", Since: at("07:00:00"), OpenedAt: at("07:00:00"), Opening: "Not fetched.", ClosedAt: at("08:00:00"), Closing: "Fetched again."},
	}
	h.store.drifts = []call.Drift{
		{ID: "d1", Trait: call.Trait{Account: "sales", Report: call.CallReport, Aspect: call.AspectField, Name: "recording_ms", Type: "number"},
			Change: call.ChangeNewField, FirstSeen: at("09:00:00"), LastSeen: at("10:00:00"), Reports: 12},
		{ID: "d2", Trait: call.Trait{Account: "support", Report: call.LiveEvent, Aspect: call.AspectLimit}, Change: call.ChangeTooMany, FirstSeen: at("09:00:00"), Reports: 1},
	}
	h.store.backfills = map[string]call.BackfillState{"sales": {RunningSince: at("10:00:00"), NextAt: at("11:00:00"), Last: &call.Backfill{
		Account: "sales", From: at("00:00:00"), To: at("09:00:00"), StartedAt: at("09:00:00"), EndedAt: at("09:00:05"), Listed: 5, New: 1, Known: 4, Error: "2023-01-02: page 2: the provider answered 502"}}}
	h.store.reconciled = map[string]call.Reconciliation{
		"sales 2023-01-02": {List: &call.ListDay{ReadAt: at("09:00:00"), Error: "page 2"}, Listed: 5, Calls: 4, Delivered: 3,
			Recordings: map[call.RecordingState]int64{call.Archived: 2, call.Absent: 1},
			Counts:     map[call.Reason]int64{call.NotDelivered: 1, call.RecordingAbsent: 1},
			Differences: []call.Difference{{Reason: call.NotDelivered, CallID: "call-1", Key: "1.1", At: at("08:00:00"), Detail: "call_list_v2"},
				{Reason: call.RecordingAbsent, CallID: "call-1", Key: "1.1", RecordingID: "rec-1", Detail: "not offered"}}},
	}
	h.store.exports = []call.Export{
		{ID: "export-1", State: call.ExportReady, Request: raw(`{"filter":{"group":"Sales"},"reason":"court order","by":{"kind":"token","name":"meera"}}`), By: "meera", Reason: "court order",
			CreatedAt: at("10:00:00"), FinishedAt: at("10:01:00"), RemoveAt: at("10:01:00").AddDate(0, 0, 7), Attempts: 1, Done: 3, Total: 3,
			ExportMade: call.ExportMade{Calls: 2, Recordings: 2, Missing: 1, Size: 23, PieceSize: 10, ManifestSHA256: audioHash, Prefix: "exports/export-1/a-"}},
		{ID: "export-2", State: call.ExportBuilding, Request: raw(`{"calls":["call-1"],"groups":["Sales"]}`), Groups: []string{"Sales"}, By: "ravi", Reason: "complaint", CreatedAt: at("10:00:00"), Attempts: 2, Error: "the vault does not answer"},
	}
	csv := []byte("call_id\r\ncall-1\r\n")
	hash := sha256.Sum256(csv)
	h.store.runs = []call.Run{{
		ID: "run-1", Report: "daily", PeriodFrom: at("00:00:00"), PeriodTo: at("00:00:00").AddDate(0, 0, 1), Zone: "Asia/Kolkata",
		State: call.RunBuilt, Revision: 1, AsOf: at("23:59:59"), InputHash: audioHash, CreatedAt: at("23:59:59"), BuiltAt: at("23:59:59"),
		Files: []call.RunFile{{Name: "daily 2023-01-02 calls.csv", ObjectKey: "reports/daily/2023-01-02/calls.csv",
			Size: int64(len(csv)), SHA256: hex.EncodeToString(hash[:]), MediaType: "text/csv; charset=utf-8"}},
	}, {ID: "run-0", Report: "daily", PeriodFrom: at("00:00:00").AddDate(0, 0, -1), PeriodTo: at("00:00:00"), State: call.RunFailed, Error: "no room"}}
}

// reply is an answer, read to its end.
type reply struct {
	status int
	header http.Header
	body   []byte
}

func (h *house) do(t *testing.T, method, path, token string, header ...string) reply {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, h.url+path, nil)
	if err != nil {
		t.Fatal(err)
	}
	if token != "" {
		req.Header.Set("Authorization", "Bearer "+token)
	}
	for i := 0; i < len(header); i += 2 {
		req.Header.Set(header[i], header[i+1])
	}
	res, err := http.DefaultTransport.RoundTrip(req) // redirects are answers, too
	if err != nil {
		t.Fatal(err)
	}
	body, err := io.ReadAll(res.Body)
	if err := errors.Join(err, res.Body.Close()); err != nil {
		t.Fatal(err)
	}
	return reply{res.StatusCode, res.Header, body}
}

func (h *house) get(t *testing.T, path, token string, header ...string) reply {
	t.Helper()
	return h.do(t, http.MethodGet, path, token, header...)
}

// json is the answer, decoded.
func (r reply) json(t *testing.T) map[string]any {
	t.Helper()
	var v map[string]any
	if err := json.Unmarshal(r.body, &v); err != nil {
		t.Fatalf("status %d, body %q: %v", r.status, r.body, err)
	}
	return v
}

// in is what decoded JSON holds at a path of names and positions.
func in[T any](t *testing.T, v any, path ...any) T {
	t.Helper()
	for _, step := range path {
		switch step := step.(type) {
		case string:
			v = in[map[string]any](t, v)[step]
		case int:
			all := in[[]any](t, v)
			if step >= len(all) {
				t.Fatalf("%v has no element %d", all, step)
			}
			v = all[step]
		}
	}
	found, ok := v.(T)
	if !ok {
		t.Fatalf("at %v is %v", path, v)
	}
	return found
}

// object is what JSON calls so, decoded.
type object = map[string]any

// wantError checks that the answer is an error of the API, and returns its
// message.
func (r reply) wantError(t *testing.T, status int, code call.Code) string {
	t.Helper()
	if r.status != status || r.header.Get("Content-Type") != "application/json; charset=utf-8" {
		t.Fatalf("status %d (%s), want %d; body %s", r.status, r.header.Get("Content-Type"), status, r.body)
	}
	message := in[string](t, r.json(t), "error", "message")
	if got := in[string](t, r.json(t), "error", "code"); got != string(code) || message == "" {
		t.Fatalf("body %s, want code %s and a message", r.body, code)
	}
	return message
}
