package archive

import (
	"bufio"
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"callvault/internal/audit"
	"callvault/internal/call"

	"github.com/klauspost/compress/zstd"
)

// This file has the format of the journal's segments: JSON lines, compressed
// with zstd. The first line says which segment it is, those behind hold a
// delivery or an audit entry each.

// JournalPrefix is what the keys of the journal's segments begin with.
const JournalPrefix = "journal/"

const journalSuffix = ".jsonl.zst"

// SegmentKey is the key under which a segment of the journal was written first.
func SegmentKey(number int64) string { return RevisionKey(number, 0) }

// RevisionKey is the key of a revision of a segment: each that takes the place
// of another lies under a key of its own.
func RevisionKey(number, revision int64) string {
	return call.SegmentKey(number, revision)
}

// segmentNumber is the number and revision of the segment under a key; ok is
// false for what is none.
func segmentNumber(key string) (number, revision int64, ok bool) {
	text := strings.TrimSuffix(strings.TrimPrefix(key, JournalPrefix), journalSuffix)
	text, again, isAgain := strings.Cut(text, ".r")
	number, err := strconv.ParseInt(text, 10, 64)
	if err == nil && isAgain {
		revision, err = strconv.ParseInt(again, 10, 64)
	}
	return number, revision, err == nil && number > 0 && RevisionKey(number, revision) == key
}

// Bounds of what is read. Segments are written of 8 MiB and at most one
// delivery more.
const (
	maxSegment     = 64 << 20
	maxSegmentText = 256 << 20
	maxJournalLine = 32 << 20
)

// segmentWindow is how far back zstd looks for repetitions, in bytes: reports
// are alike, so that more gains little, and takes memory in step.
const segmentWindow = 1 << 20

// journalFormat is the version of the format.
const journalFormat = 1

type segmentLine struct {
	Format          int       `json:"format"`
	Number          int64     `json:"number"`
	Previous        string    `json:"previous"`
	At              time.Time `json:"at"`
	DeliveriesAfter int64     `json:"deliveries_after"`
	DeliveriesTo    int64     `json:"deliveries_to"`
	Deliveries      int64     `json:"deliveries"`
	EntriesFrom     int64     `json:"entries_from"`
	EntriesTo       int64     `json:"entries_to"`
	// RetainUntil is the date that was promised when it was planned.
	RetainUntil time.Time `json:"retain_until,omitzero"`
	// Of one that was written again: which time, and the SHA-256 of the one
	// whose place it took.
	Revision int64  `json:"revision,omitempty"`
	Replaces string `json:"replaces,omitempty"`
}

type deliveryLine struct {
	ID            int64                `json:"id"`
	UID           string               `json:"uid"`
	Account       string               `json:"account"`
	ReceivedAt    time.Time            `json:"received_at"`
	Source        call.DeliverySource  `json:"source"`
	Method        string               `json:"method"`
	ContentType   string               `json:"content_type,omitempty"`
	Query         rawText              `json:"query,omitempty"`
	Body          rawText              `json:"body,omitempty"`
	SHA256        string               `json:"sha256"`
	Erased        string               `json:"erased,omitempty"`
	RemoteAddress string               `json:"remote_address,omitempty"`
	Outcome       call.DeliveryOutcome `json:"outcome"`
	Error         string               `json:"error,omitempty"`
	Items         []itemLine           `json:"items,omitempty"`
}

type itemLine struct {
	Outcome call.DeliveryOutcome `json:"outcome"`
	Error   string               `json:"error,omitempty"`
	call.GivenIDs
}

type journalLine struct {
	Segment  *segmentLine    `json:"segment,omitempty"`
	Delivery *deliveryLine   `json:"delivery,omitempty"`
	Entry    json.RawMessage `json:"entry,omitempty"`
}

// rawText is bytes that are text nearly always: then they are a JSON string, so
// that people can read them, and else base64 in an object.
type rawText []byte

type base64Text struct {
	Base64 []byte `json:"base64"`
}

// MarshalJSON implements json.Marshaler.
func (b rawText) MarshalJSON() ([]byte, error) {
	if utf8.Valid(b) {
		return encodeLine(string(b))
	}
	return json.Marshal(base64Text{b})
}

// UnmarshalJSON implements json.Unmarshaler.
func (b *rawText) UnmarshalJSON(data []byte) error {
	if len(data) > 0 && data[0] == '{' {
		var coded base64Text
		err := json.Unmarshal(data, &coded)
		*b = coded.Base64
		return err
	}
	var text string
	err := json.Unmarshal(data, &text)
	*b = rawText(text)
	return err
}

func encodeLine(v any) ([]byte, error) {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	err := e.Encode(v)
	return bytes.TrimSuffix(b.Bytes(), []byte("\n")), err
}

// writeEntry writes the line of an audit entry's record.
func writeEntry(w io.Writer, record []byte) error {
	_, err := fmt.Fprintf(w, `{"entry":%s}`+"\n", record)
	return err
}

// writeDelivery writes the line of a delivery.
func writeDelivery(w io.Writer, d *call.JournaledDelivery) error {
	line := deliveryLine{
		ID: d.ID, UID: d.UID, Account: d.Account, ReceivedAt: d.ReceivedAt.UTC(), Source: d.Source, Method: d.Method, ContentType: d.ContentType,
		Query: rawText(d.Query), Body: d.Body, SHA256: hex.EncodeToString(d.BodySHA256), Erased: d.Erased, RemoteAddress: d.RemoteAddress, Outcome: d.Outcome, Error: d.Error,
	}
	for i, it := range d.Items {
		line.Items = append(line.Items, itemLine{it.Outcome, it.Error, d.Given[i]})
	}
	text, err := encodeLine(journalLine{Delivery: &line})
	if err != nil {
		return fmt.Errorf("write delivery %d to the journal: %w", d.ID, err)
	}
	_, err = w.Write(append(text, '\n'))
	return err
}

func (l *deliveryLine) delivery() (*call.JournaledDelivery, error) {
	d := &call.JournaledDelivery{Delivery: call.Delivery{
		ID: l.ID, UID: l.UID, Account: l.Account, ReceivedAt: l.ReceivedAt, Source: l.Source, Method: l.Method, ContentType: l.ContentType,
		Query: string(l.Query), Body: l.Body, RemoteAddress: l.RemoteAddress, Outcome: l.Outcome, Error: l.Error,
	}, Erased: l.Erased}
	var err error
	if d.BodySHA256, err = hex.DecodeString(l.SHA256); err != nil || len(d.BodySHA256) != sha256.Size {
		return nil, fmt.Errorf("delivery %d has no hash", d.ID)
	}
	if sum := sha256.Sum256(d.Body); l.Erased == "" && !bytes.Equal(sum[:], d.BodySHA256) {
		return nil, fmt.Errorf("the body of delivery %d is not the one that was received", d.ID)
	}
	for _, it := range l.Items {
		d.Items = append(d.Items, call.Item{Outcome: it.Outcome, Error: it.Error})
		d.Given = append(d.Given, it.GivenIDs)
	}
	return d, nil
}

func headerOf(g call.JournalSegment) segmentLine {
	return segmentLine{
		Format: journalFormat, Number: g.Number, Previous: g.Previous, At: g.At.UTC(), DeliveriesAfter: g.DeliveriesAfter, DeliveriesTo: g.DeliveriesTo,
		Deliveries: g.Deliveries, EntriesFrom: g.EntriesFrom, EntriesTo: g.EntriesTo, RetainUntil: g.RetainUntil.UTC(), Revision: g.Revision, Replaces: g.Replaces,
	}
}

// segmentWriter compresses the lines of a segment as they come. What the first
// line says is known when the last has come; so that line is a frame of its own,
// and frames behind each other are one text (RFC 8878, section 3).
type segmentWriter struct {
	z      *zstd.Encoder
	packed bytes.Buffer
	// size is that of the lines, in bytes.
	size int
}

func newSegmentWriter() (*segmentWriter, error) {
	w := &segmentWriter{}
	var err error
	// One goroutine: the same lines give the same bytes.
	w.z, err = zstd.NewWriter(&w.packed, zstd.WithEncoderConcurrency(1), zstd.WithEncoderLevel(zstd.SpeedDefault),
		zstd.WithWindowSize(segmentWindow), zstd.WithLowerEncoderMem(true))
	if err != nil {
		return nil, fmt.Errorf("begin a journal segment: %w", err)
	}
	return w, nil
}

// Write takes in whole lines.
func (w *segmentWriter) Write(lines []byte) (int, error) {
	w.size += len(lines)
	return w.z.Write(lines)
}

// object ends the segment and returns it.
func (w *segmentWriter) object(g call.JournalSegment) ([]byte, error) {
	header := headerOf(g)
	first, err := encodeLine(journalLine{Segment: &header})
	if err = errors.Join(err, w.z.Close()); err != nil {
		return nil, fmt.Errorf("write journal segment %d: %w", g.Number, err)
	}
	return append(w.z.EncodeAll(append(first, '\n'), nil), w.packed.Bytes()...), nil
}

// Segment is a segment of the journal as it was read back.
type Segment struct {
	call.JournalSegment
	Deliveries []*call.JournaledDelivery
	Entries    []audit.Entry
}

// JournalFaultError says that a segment of the journal is not what was written.
type JournalFaultError struct {
	// Number is the segment's.
	Number int64
	// What is wrong, for people.
	What string
}

// Error implements error.
func (e *JournalFaultError) Error() string {
	return fmt.Sprintf("journal segment %d (%s): %s", e.Number, SegmentKey(e.Number), e.What)
}

// ReadSegment reads a segment as it was written first (ReadRevision).
func ReadSegment(ctx context.Context, v Vault, number int64) (*Segment, error) {
	return ReadRevision(ctx, v, number, 0)
}

// ReadRevision reads a revision of a segment and checks that it is whole and
// consistent with itself: a *JournalFaultError if it is not, ErrNotFound if it is
// not there.
func ReadRevision(ctx context.Context, v Vault, number, revision int64) (*Segment, error) {
	object, err := readSegmentObject(ctx, v, number, revision)
	if err != nil {
		return nil, err
	}
	g := &Segment{}
	err = parseSegment(object, number, revision, &segmentReader{
		header:   func(h call.JournalSegment) error { g.JournalSegment = h; return nil },
		delivery: func(d *call.JournaledDelivery) error { g.Deliveries = append(g.Deliveries, d); return nil },
		entry:    func(e audit.Entry) error { g.Entries = append(g.Entries, e); return nil },
	})
	if err != nil {
		return nil, err
	}
	return g, nil
}

// readSegmentObject reads the bytes of a segment: a *JournalFaultError if there are
// too many, ErrNotFound if it is not there.
func readSegmentObject(ctx context.Context, v Vault, number, revision int64) ([]byte, error) {
	key := RevisionKey(number, revision)
	body, info, err := v.Open(ctx, key, 0, -1)
	if err != nil {
		return nil, fmt.Errorf("read the journal: %w", err)
	}
	var object bytes.Buffer
	object.Grow(int(min(max(info.Size, 0), maxSegment)) + bytes.MinRead)
	_, err = object.ReadFrom(io.LimitReader(body, maxSegment+1))
	if err = errors.Join(err, body.Close()); err != nil {
		return nil, fmt.Errorf("read %s: %w", key, err)
	}
	if int64(object.Len()) != info.Size || object.Len() > maxSegment {
		return nil, &JournalFaultError{number, fmt.Sprintf("it has %d bytes", info.Size)}
	}
	return object.Bytes(), nil
}

// segmentReader tells what segments hold, in their order; an error of whoever is
// told ends the reading, and is returned as it is. It reads one at a time.
type segmentReader struct {
	header   func(call.JournalSegment) error
	delivery func(*call.JournaledDelivery) error
	entry    func(audit.Entry) error

	// z is kept from one segment to the next, for it takes more to make one than
	// to read a segment of a quiet minute.
	z *zstd.Decoder

	seen       call.JournalSegment
	last       int64 // delivery
	deliveries int64
	entries    int64
}

// toldError is an error of whoever is told.
type toldError struct{ error }

// parseSegment reads the object of a segment: a *JournalFaultError if it is not whole
// and consistent with itself.
func parseSegment(object []byte, number, revision int64, r *segmentReader) error {
	sum := sha256.Sum256(object)
	r.seen = call.JournalSegment{SHA256: hex.EncodeToString(sum[:]), Size: int64(len(object))}
	r.last, r.deliveries, r.entries = 0, 0, 0
	err := r.read(object, number, revision)
	if told, ok := errors.AsType[toldError](err); ok {
		return told.error
	}
	if err != nil {
		return &JournalFaultError{number, err.Error()}
	}
	return nil
}

func (r *segmentReader) read(object []byte, number, revision int64) error {
	var err error
	if r.z == nil {
		// Without goroutines it needs no closing.
		r.z, err = zstd.NewReader(nil, zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxMemory(maxSegmentText))
	}
	if err == nil {
		err = r.z.Reset(bytes.NewReader(object))
	}
	if err != nil {
		return err
	}
	scanner := bufio.NewScanner(io.LimitReader(r.z, maxSegmentText))
	scanner.Buffer(make([]byte, 64<<10), maxJournalLine)
	for n := 1; scanner.Scan(); n++ {
		err := r.line(n, scanner.Bytes())
		if n == 1 && err == nil {
			if r.seen.Number != number || r.seen.Revision != revision {
				return fmt.Errorf("it says that it is segment %d, revision %d", r.seen.Number, r.seen.Revision)
			}
			err = r.tell(r.header(r.seen))
		}
		if err != nil {
			return fmt.Errorf("line %d: %w", n, err)
		}
	}
	if err := scanner.Err(); err != nil {
		return err
	}
	switch {
	case r.seen.Number == 0:
		return errors.New("it is empty")
	case r.deliveries != r.seen.Deliveries:
		return fmt.Errorf("it has %d deliveries of %d", r.deliveries, r.seen.Deliveries)
	case r.entries != r.seen.EntriesTo-r.seen.EntriesFrom:
		return fmt.Errorf("it has %d audit entries of %d", r.entries, r.seen.EntriesTo-r.seen.EntriesFrom)
	}
	return nil
}

func (r *segmentReader) tell(err error) error {
	if err != nil {
		return toldError{err}
	}
	return nil
}

func (r *segmentReader) line(n int, text []byte) error {
	if record, ok := bytes.CutPrefix(text, []byte(`{"entry":`)); ok && n > 1 && bytes.HasSuffix(record, []byte("}")) {
		return r.record(record[:len(record)-1])
	}
	var line journalLine
	if err := json.Unmarshal(text, &line); err != nil {
		return err
	}
	switch {
	case n == 1:
		h := line.Segment
		if h == nil {
			return errors.New("it does not say which segment this is")
		}
		if h.Format != journalFormat {
			return fmt.Errorf("format %d, and this program knows %d: use the Callvault that wrote it, or a newer one", h.Format, journalFormat)
		}
		g := &r.seen
		g.Number, g.Previous, g.At, g.DeliveriesAfter, g.DeliveriesTo = h.Number, h.Previous, h.At, h.DeliveriesAfter, h.DeliveriesTo
		g.Deliveries, g.EntriesFrom, g.EntriesTo = h.Deliveries, h.EntriesFrom, h.EntriesTo
		g.RetainUntil, g.Revision, g.Replaces = h.RetainUntil, h.Revision, h.Replaces
		r.last = g.DeliveriesAfter
		return nil
	case line.Delivery != nil:
		d, err := line.Delivery.delivery()
		if err != nil {
			return err
		}
		if d.ID <= r.last || d.ID > r.seen.DeliveriesTo {
			return fmt.Errorf("delivery %d is out of place", d.ID)
		}
		r.last = d.ID
		r.deliveries++
		return r.tell(r.delivery(d))
	case line.Entry != nil:
		return r.record(line.Entry)
	default:
		return errors.New("it holds nothing that is known")
	}
}

// record reads the record of an audit entry.
func (r *segmentReader) record(record []byte) error {
	var e audit.Entry
	if err := json.Unmarshal(record, &e); err != nil {
		return err
	}
	// What is appended again must hash as it did.
	if again, err := e.Record(); err != nil || !bytes.Equal(again, record) {
		return fmt.Errorf("audit entry %d is not as it was written", e.Seq)
	}
	if e.Seq != r.seen.EntriesFrom+r.entries {
		return fmt.Errorf("audit entry %d is out of place", e.Seq)
	}
	r.entries++
	return r.tell(r.entry(e))
}
