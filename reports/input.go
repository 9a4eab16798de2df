package reports

import (
	"bufio"
	"bytes"
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"hash"
	"io"
	"os"
	"strings"
	"time"

	"github.com/klauspost/compress/zstd"

	"callvault/internal/call"
)

// comparison is the last line of a frozen input: what the period's rows alone
// do not tell.
type comparison struct {
	Unique int64 `json:"unique_callers"`
	Repeat int64 `json:"repeat_callers"`
	// Deliveries is empty where they cannot be counted; see countDeliveries.
	Deliveries map[call.DeliveryOutcome]int64 `json:"deliveries"`
	// Days are the days before the period, oldest first; none in the inputs of
	// older programs.
	Days []dayBefore `json:"days,omitempty"`
	// Named are the rows of each dimension; none in the inputs of older programs.
	Named map[Table]named `json:"named,omitempty"`
}

// line is one line of a frozen input; exactly one field is set. The order is
// settings, the calls by start, calls without a start, customers to call back,
// what a revision changed, comparison: a file that does not end with the last is not whole.
type line struct {
	Settings   *Settings   `json:"settings,omitempty"`
	Call       *row        `json:"call,omitempty"`
	Missing    *missing    `json:"missing,omitempty"`
	Change     *callChange `json:"change,omitempty"`
	Comparison *comparison `json:"comparison,omitempty"`
}

// settingsLine is how the line of the settings begins.
var settingsLine = []byte(`{"settings":`)

// row is a call as a frozen input has it: what a report may show. Times are
// Unix milliseconds, 0 when not known. A recording's source is left out: it
// may be an address that plays to anybody.
type row struct {
	ID             string         `json:"id"`
	Account        string         `json:"account"`
	Provider       call.Provider  `json:"provider"`
	Key            string         `json:"key"`
	Direction      call.Direction `json:"direction,omitempty"`
	Outcome        call.Outcome   `json:"outcome"`
	Status         string         `json:"status,omitempty"`
	CustomerNumber string         `json:"customer_number,omitempty"`
	BusinessNumber string         `json:"business_number,omitempty"`
	Agent          call.Agent     `json:"agent,omitzero"`
	Offers         []call.Agent   `json:"offers,omitempty"`
	Group          string         `json:"group,omitempty"`
	Campaign       string         `json:"campaign,omitempty"`
	StartedAt      int64          `json:"started_at,omitempty"`
	AnsweredAt     int64          `json:"answered_at,omitempty"`
	EndedAt        int64          `json:"ended_at,omitempty"`
	WaitSeconds    *int           `json:"wait_seconds,omitempty"`
	TalkSeconds    *int           `json:"talk_seconds,omitempty"`
	TotalSeconds   *int           `json:"total_seconds,omitempty"`
	HangupCause    string         `json:"hangup_cause,omitempty"`
	HangupBy       string         `json:"hangup_by,omitempty"`
	Cost           string         `json:"cost,omitempty"`
	LegsCount      int            `json:"legs_count"`
	Recordings     []recording    `json:"recordings,omitempty"`
}

// recording is a recording as a frozen input has it.
type recording struct {
	ID           string              `json:"id"`
	Kind         call.RecordingKind  `json:"kind"`
	State        call.RecordingState `json:"state"`
	Reason       string              `json:"reason,omitempty"`
	LastError    string              `json:"last_error,omitempty"`
	Attempts     int                 `json:"attempts,omitempty"`
	Size         int64               `json:"size,omitempty"`
	AudioSeconds *int                `json:"audio_seconds,omitempty"`
	Truncated    bool                `json:"truncated,omitempty"`
}

// missing is a customer whom nobody answered, as a frozen input has it.
type missing struct {
	Number     string `json:"number"`
	FirstAt    int64  `json:"first_at"`
	LastAt     int64  `json:"last_at"`
	Attempts   int    `json:"attempts"`
	Called     string `json:"called,omitempty"`
	Account    string `json:"account"`
	Group      string `json:"group,omitempty"`
	ReturnedAt int64  `json:"returned_at,omitempty"`
	// Return is the call in which they were talked with; nil if there was none,
	// and in the inputs of older programs.
	Return *returned `json:"return,omitempty"`
	// Of is more of the last call; nil in the inputs of older programs.
	Of *lastCall `json:"of,omitempty"`
}

// lastCall is the last call of a customer who was missed.
type lastCall struct {
	Campaign string     `json:"campaign,omitempty"`
	Agent    call.Agent `json:"agent,omitzero"`
}

func (m *missing) campaign() string {
	if m.Of == nil {
		return ""
	}
	return m.Of.Campaign
}

// returned is a call with a customer who had been missed.
type returned struct {
	Account   string         `json:"account"`
	Direction call.Direction `json:"direction,omitempty"`
	Agent     call.Agent     `json:"agent,omitzero"`
}

// set makes r the row of a call. It reuses r's memory.
func (r *row) set(c *call.CallWithRecordings) {
	recordings := r.Recordings[:0]
	for i := range c.Recordings {
		o := &c.Recordings[i]
		recordings = append(recordings, recording{
			ID: o.ID, Kind: o.Kind, State: o.State, Reason: o.Reason,
			LastError: o.LastError, Attempts: o.Attempts, Size: o.Size,
			AudioSeconds: o.AudioSeconds, Truncated: o.Media.Truncated,
		})
	}
	*r = row{
		ID: c.ID, Account: c.Account, Provider: c.Provider, Key: c.Key,
		Direction: c.Direction, Outcome: c.Outcome, Status: c.Status,
		CustomerNumber: c.CustomerNumber, BusinessNumber: c.BusinessNumber,
		Agent: c.Agent, Offers: c.Offers, Group: c.Group, Campaign: c.Campaign,
		StartedAt: milliseconds(c.StartedAt), AnsweredAt: milliseconds(c.AnsweredAt),
		EndedAt: milliseconds(c.EndedAt), WaitSeconds: c.WaitSeconds,
		TalkSeconds: c.TalkSeconds, TotalSeconds: c.TotalSeconds,
		HangupCause: c.HangupCause, HangupBy: c.HangupBy, Cost: c.Cost,
		LegsCount: c.LegsCount, Recordings: recordings,
	}
}

// reset empties r, and keeps its slices' memory. What they held must go: JSON
// is decoded over it.
func (r *row) reset() {
	clear(r.Offers[:cap(r.Offers)])
	clear(r.Recordings[:cap(r.Recordings)])
	*r = row{Offers: r.Offers[:0], Recordings: r.Recordings[:0]}
}

func milliseconds(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return t.UnixMilli()
}

// maxLine bounds a line of a frozen input, in bytes: one call, whose longest
// parts come from a delivery of at most 1 MiB.
const maxLine = 16 << 20

// Input is a frozen input in a file.
type Input struct {
	// Settings are what the report was asked for.
	Settings Settings
	// Hash is the SHA-256 of the uncompressed lines, in lower-case hex.
	Hash string

	path string
	zone *time.Location
	// mask hides customers' numbers in what is made of the input; nil: they are
	// shown.
	mask func(number string) string
	// named is that of the comparison, which comes last and is needed first.
	named map[Table]named
}

// inputWriter writes a frozen input.
type inputWriter struct {
	file  *os.File
	zstd  *zstd.Encoder
	hash  hash.Hash
	json  *json.Encoder
	input Input
}

func createInput(path string, s Settings) (*inputWriter, error) {
	file, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return nil, err
	}
	// One goroutine and a small window: a report must fit beside everything
	// else that the process does.
	z, err := zstd.NewWriter(file, zstd.WithEncoderLevel(zstd.SpeedFastest),
		zstd.WithEncoderConcurrency(1), zstd.WithLowerEncoderMem(true))
	if err != nil {
		return nil, errors.Join(err, file.Close())
	}
	w := &inputWriter{file: file, zstd: z, hash: sha256.New(), input: Input{Settings: s, path: path}}
	w.json = json.NewEncoder(io.MultiWriter(w.hash, z))
	w.json.SetEscapeHTML(false)
	return w, w.write(line{Settings: &s})
}

func (w *inputWriter) write(l line) error { return w.json.Encode(l) }

func (w *inputWriter) close() error {
	w.input.Hash = hex.EncodeToString(w.hash.Sum(nil))
	return errors.Join(w.zstd.Close(), w.file.Close())
}

// freeze writes what a report of a period is made of to a file, by today's
// configuration.
func (r *Reporter) freeze(ctx context.Context, report *Report, p Period, revision int, path string) (*Input, error) {
	return r.freezeBy(ctx, r.rules(report), report, p, revision, path)
}

// freezeBy does so by rules. The zone is the period's.
func (r *Reporter) freezeBy(ctx context.Context, rules Rules, report *Report, p Period, revision int, path string) (*Input, error) {
	zone := p.From.Location()
	s := Settings{
		Report: report.Name, Whole: report.whole, Masked: report.MaskNumbers, Kind: p.Kind, From: p.From, To: p.To,
		Zone: zone.String(), AsOf: r.now().UTC().Truncate(time.Second),
		Revision: revision, Formats: report.Formats, Rules: rules,
		PublicURL: r.publicURL, Version: r.version,
		Log: r.sealedLog(ctx),
	}
	w, err := createInput(path, s)
	if err != nil {
		return nil, fmt.Errorf("freeze input of report: %w", err)
	}
	w.input.zone = zone
	if err := errors.Join(r.fill(ctx, w), w.close()); err != nil {
		return nil, fmt.Errorf("freeze input of report: %w", err)
	}
	return &w.input, nil
}

// sealedLog seals the audit log; nil when that cannot be done, for a report must
// not wait for it.
func (r *Reporter) sealedLog(ctx context.Context) *SealedLog {
	if r.witness == nil {
		return nil
	}
	seal, err := r.witness.Seal(ctx)
	if err != nil {
		r.log.ErrorContext(ctx, "report is made without the audit log's head", "error", err)
		return nil
	}
	return &SealedLog{seal, r.witness.Fingerprint()}
}

// fill writes the lines after the settings.
func (r *Reporter) fill(ctx context.Context, w *inputWriter) error {
	s := &w.input.Settings
	roster := s.Roster
	filter := roster.Expand(*s.Filter)
	filter.From, filter.To = s.From, s.To
	ctx, stop := context.WithCancel(ctx)
	before := r.sumBefore(ctx, w.input.period(), filter, s.soon())
	defer func() {
		stop()
		_ = before.working.Wait() // daysBefore has told, or nobody needs it any more
	}()
	var current row
	accounts, count := make(map[string]bool), newCounters()
	add := func(c call.CallWithRecordings) error {
		accounts[c.Account] = true
		roster.Name(&c.Call)
		current.set(&c)
		count.add(&current)
		return w.write(line{Call: &current})
	}
	if err := r.store.EachCall(ctx, filter, add); err != nil {
		return err
	}
	noStart := filter
	noStart.NoStart = true
	if err := r.store.EachCall(ctx, noStart, add); err != nil {
		return err
	}
	err := r.store.NotReturned(ctx, filter, s.AsOf, func(m call.Missing) error {
		last := call.Call{Account: m.Account, Provider: m.Provider, Agent: m.Agent, Group: m.Group}
		roster.Name(&last)
		l := missing{
			Number: m.Number, FirstAt: milliseconds(m.FirstAt), LastAt: milliseconds(m.LastAt),
			Attempts: m.Attempts, Called: m.Called, Account: m.Account, Group: last.Group,
			ReturnedAt: milliseconds(m.ReturnedAt),
			Of:         &lastCall{m.Campaign, last.Agent},
		}
		if !m.ReturnedAt.IsZero() {
			l.Return = &returned{m.Return.Account, m.Return.Direction, roster.Resolve(m.Return.Account, m.Return.Provider, m.Return.Agent)}
		}
		return w.write(line{Missing: &l})
	})
	if err != nil {
		return err
	}
	customers, err := r.store.CustomerStats(ctx, filter)
	if err != nil {
		return err
	}
	deliveries, err := r.countDeliveries(ctx, s)
	if err != nil {
		return err
	}
	days, err := r.daysBefore(ctx, w.input.period(), before, accounts)
	if err != nil {
		return err
	}
	if w.input.named, err = count.named(); err != nil {
		return err
	}
	return w.write(line{Comparison: &comparison{
		Unique: customers.Unique, Repeat: customers.Repeat, Deliveries: deliveries, Days: days, Named: w.input.named,
	}})
}

// countDeliveries counts the deliveries of a period's accounts; none if the
// report is of a part of an account's calls: which of them a delivery that
// cannot be read would tell of, nobody knows.
func (r *Reporter) countDeliveries(ctx context.Context, s *Settings) (map[call.DeliveryOutcome]int64, error) {
	whole := *s.Filter
	whole.Account = ""
	if describe(&whole) != "" {
		return make(map[call.DeliveryOutcome]int64), nil
	}
	return r.store.DeliveryCounts(ctx, call.DeliveryFilter{
		Account: s.Filter.Account, NotAccounts: s.Filter.NotAccounts, From: s.From, To: s.To,
	})
}

// describe says in words which calls a filter selects, empty for all.
func describe(f *call.Filter) string {
	var b bytes.Buffer
	for _, part := range []struct{ name, value string }{
		{"account", f.Account}, {"direction", string(f.Direction)},
		{"group", f.Group}, {"groups", strings.Join(f.Groups, " or ")}, {"agent", f.Agent}, {"number", f.Number},
		{"campaign", f.Campaign}, {"outcome", string(f.Outcome)},
	} {
		if part.value == "" {
			continue
		}
		if b.Len() > 0 {
			b.WriteString(", ")
		}
		fmt.Fprintf(&b, "%s %s", part.name, part.value)
	}
	return b.String()
}

var errNoSettings = errors.New("the first line is not the settings")

// OpenInput reads the settings of a frozen input and checks that it is whole.
func OpenInput(ctx context.Context, path string) (*Input, error) {
	in := &Input{path: path}
	sum := sha256.New()
	first := true
	err := in.lines(ctx, func(raw []byte) error {
		sum.Write(raw)
		sum.Write([]byte{'\n'})
		if !first && !bytes.HasPrefix(raw, []byte(`{"comparison":`)) {
			return nil
		}
		var l line
		if err := json.Unmarshal(raw, &l); err != nil {
			return err
		}
		if !first {
			in.named = l.Comparison.Named
			return nil
		}
		first = false
		if l.Settings == nil {
			return errNoSettings
		}
		in.Settings = *l.Settings
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("open input of report: %w", err)
	}
	in.Hash = hex.EncodeToString(sum.Sum(nil))
	if in.zone, err = time.LoadLocation(in.Settings.Zone); err != nil {
		return nil, fmt.Errorf("open input of report: %w", err)
	}
	return in, nil
}

func (in *Input) period() Period {
	return Period{in.Settings.Kind, in.Settings.From.In(in.zone), in.Settings.To.In(in.zone)}
}

// each calls, in order, onCall for each call and onMissing for each customer to
// call back, and returns the comparison. Either may be nil. The row is valid
// until onCall returns.
//
// The lines are read and decoded on a goroutine of their own, some batches
// ahead, so that this and what is made of them share two processors.
func (in *Input) each(ctx context.Context, onCall func(*row) error, onMissing func(*missing) error) (*comparison, error) {
	onCall, onMissing = in.masking(onCall, onMissing)
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	const batches = 4
	read := reading{full: make(chan *batch, batches), free: make(chan *batch, batches)}
	for range batches {
		read.free <- new(batch)
	}
	ended := make(chan error, 1)
	go func() {
		defer close(read.full)
		ended <- read.run(ctx, in, onCall != nil, onMissing != nil)
	}()
	var whole *comparison
	var failed error
	for b := range read.full {
		if failed == nil {
			failed = b.each(onCall, onMissing)
			whole = b.comparison
		}
		if failed != nil {
			stop()
		}
		read.free <- b
	}
	err := cmp.Or(failed, <-ended)
	if err == nil && whole == nil {
		err = errors.New("the file is not whole")
	}
	if err != nil {
		return nil, fmt.Errorf("read input of report: %w", err)
	}
	return whole, nil
}

// batch is a piece of a frozen input: calls, customers to call back after them,
// and the comparison, if it is the last.
type batch struct {
	// calls may have more rows than the n that are valid.
	calls      []row
	n          int
	ints       []int
	missing    []missing
	comparison *comparison
}

// batchCalls is how many calls a batch has.
const batchCalls = 256

func (b *batch) each(onCall func(*row) error, onMissing func(*missing) error) error {
	for i := range b.calls[:b.n] {
		if err := onCall(&b.calls[i]); err != nil {
			return err
		}
	}
	for i := range b.missing {
		if err := onMissing(&b.missing[i]); err != nil {
			return err
		}
	}
	return nil
}

// reading reads batches and passes them on.
type reading struct {
	full, free chan *batch
	decoder    rowDecoder
	current    *batch
}

// next passes the current batch on and takes another.
func (r *reading) next() {
	if r.current != nil {
		r.current.ints = r.decoder.ints
		r.full <- r.current
	}
	r.current = <-r.free
	r.current.n, r.current.missing, r.current.comparison = 0, r.current.missing[:0], nil
	r.decoder.ints = r.current.ints[:0]
}

func (r *reading) run(ctx context.Context, in *Input, calls, missing bool) error {
	r.next()
	err := in.lines(ctx, func(raw []byte) error { return r.take(raw, calls, missing) })
	if err == nil {
		r.full <- r.current
	}
	return err
}

// take adds what a line says to the current batch.
func (r *reading) take(raw []byte, calls, missing bool) error {
	b := r.current
	if b.n == batchCalls || len(b.missing) == batchCalls {
		r.next()
		b = r.current
	}
	switch {
	case bytes.HasPrefix(raw, callLine):
		if !calls {
			return nil
		}
		if b.n == len(b.calls) {
			b.calls = append(b.calls, row{})
		}
		b.n++
		return r.decoder.decode(raw, &b.calls[b.n-1])
	case bytes.HasPrefix(raw, settingsLine), bytes.HasPrefix(raw, changeLine), bytes.HasPrefix(raw, []byte(`{"missing":`)) && !missing:
		return nil
	}
	var l line
	if err := json.Unmarshal(raw, &l); err != nil {
		return err
	}
	if l.Missing != nil {
		b.missing = append(b.missing, *l.Missing)
	}
	b.comparison = cmp.Or(l.Comparison, b.comparison)
	return nil
}

func (in *Input) lines(ctx context.Context, fn func([]byte) error) (err error) {
	file, err := os.Open(in.path)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, file.Close()) }()
	z, err := zstd.NewReader(file, zstd.WithDecoderConcurrency(1), zstd.WithDecoderLowmem(true))
	if err != nil {
		return err
	}
	defer z.Close()
	scanner := bufio.NewScanner(z)
	scanner.Buffer(make([]byte, 64<<10), maxLine)
	for n := 0; scanner.Scan(); n++ {
		if n%1024 == 0 && ctx.Err() != nil {
			return ctx.Err()
		}
		if err := fn(scanner.Bytes()); err != nil {
			return err
		}
	}
	return scanner.Err()
}
