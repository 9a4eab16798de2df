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
	key := RevisionKey(number, revision)
	body, info, err := v.Open(ctx, key, 0, -1)
	if err != nil {
		return nil, fmt.Errorf("read the journal: %w", err)
	}
	object, err := io.ReadAll(io.LimitReader(body, maxSegment+1))
	if err = errors.Join(err, body.Close()); err != nil {
		return nil, fmt.Errorf("read %s: %w", key, err)
	}
	if int64(len(object)) != info.Size || len(object) > maxSegment {
		return nil, &JournalFaultError{number, fmt.Sprintf("it has %d bytes", info.Size)}
	}
	g, err := parseSegment(object)
	if err == nil && (g.Number != number || g.Revision != revision) {
		err = fmt.Errorf("it says that it is segment %d, revision %d", g.Number, g.Revision)
	}
	if err != nil {
		return nil, &JournalFaultError{number, err.Error()}
	}
	return g, nil
}

// parseSegment reads the object of a segment.
func parseSegment(object []byte) (*Segment, error) {
	sum := sha256.Sum256(object)
	g := &Segment{JournalSegment: call.JournalSegment{SHA256: hex.EncodeToString(sum[:]), Size: int64(len(object))}}
	z, err := zstd.NewReader(bytes.NewReader(object), zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxMemory(maxSegmentText))
	if err != nil {
		return nil, err
	}
	defer z.Close()
	scanner := bufio.NewScanner(io.LimitReader(z, maxSegmentText))
	scanner.Buffer(make([]byte, 64<<10), maxJournalLine)
	for n := 1; scanner.Scan(); n++ {
		var line journalLine
		err := json.Unmarshal(scanner.Bytes(), &line)
		if err == nil {
			err = g.take(n, &line)
		}
		if err != nil {
			return nil, fmt.Errorf("line %d: %w", n, err)
		}
	}
	if err := scanner.Err(); err != nil {
		return nil, err
	}
	switch {
	case g.Number == 0:
		return nil, errors.New("it is empty")
	case int64(len(g.Deliveries)) != g.JournalSegment.Deliveries:
		return nil, fmt.Errorf("it has %d deliveries of %d", len(g.Deliveries), g.JournalSegment.Deliveries)
	case int64(len(g.Entries)) != g.EntriesTo-g.EntriesFrom:
		return nil, fmt.Errorf("it has %d audit entries of %d", len(g.Entries), g.EntriesTo-g.EntriesFrom)
	}
	return g, nil
}

func (g *Segment) take(n int, line *journalLine) error {
	switch {
	case n == 1:
		h := line.Segment
		if h == nil {
			return errors.New("it does not say which segment this is")
		}
		if h.Format != journalFormat {
			return fmt.Errorf("format %d, and this program knows %d: use the Callvault that wrote it, or a newer one", h.Format, journalFormat)
		}
		g.Number, g.Previous, g.At, g.DeliveriesAfter, g.DeliveriesTo = h.Number, h.Previous, h.At, h.DeliveriesAfter, h.DeliveriesTo
		g.JournalSegment.Deliveries, g.EntriesFrom, g.EntriesTo = h.Deliveries, h.EntriesFrom, h.EntriesTo
		g.RetainUntil, g.Revision, g.Replaces = h.RetainUntil, h.Revision, h.Replaces
	case line.Delivery != nil:
		d, err := line.Delivery.delivery()
		if err != nil {
			return err
		}
		after := g.DeliveriesAfter
		if len(g.Deliveries) > 0 {
			after = g.Deliveries[len(g.Deliveries)-1].ID
		}
		if d.ID <= after || d.ID > g.DeliveriesTo {
			return fmt.Errorf("delivery %d is out of place", d.ID)
		}
		g.Deliveries = append(g.Deliveries, d)
	case line.Entry != nil:
		var e audit.Entry
		if err := json.Unmarshal(line.Entry, &e); err != nil {
			return err
		}
		// What is appended again must hash as it did.
		if again, err := e.Record(); err != nil || !bytes.Equal(again, line.Entry) {
			return fmt.Errorf("audit entry %d is not as it was written", e.Seq)
		}
		if e.Seq != g.EntriesFrom+int64(len(g.Entries)) {
			return fmt.Errorf("audit entry %d is out of place", e.Seq)
		}
		g.Entries = append(g.Entries, e)
	default:
		return errors.New("it holds nothing that is known")
	}
	return nil
}
