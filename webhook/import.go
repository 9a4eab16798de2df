package webhook

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"iter"
	"time"

	"github.com/google/uuid"

	"callvault/internal/call"
)

// maxDocument is in bytes, of one line or document of an imported file: as much
// as could have been posted.
const maxDocument = maxBody

// DecodeFile reads deliveries from a file as if they had been posted to the
// account at the time now: one of each line (JSON or form) or, if the first
// line is not complete in itself, one of each JSON document or element of a
// JSON array. Lines and documents that cannot be understood become unreadable
// deliveries. An error after which reading goes on comes with a line that is
// too large; any other error is the last.
func (d *Decoder) DecodeFile(account string, now time.Time, file io.Reader) iter.Seq2[*call.Delivery, error] {
	return func(yield func(*call.Delivery, error) bool) {
		if d.accounts[account] == nil {
			yield(nil, call.Errorf(call.NotFound, "account %s is not configured", account))
			return
		}
		deliver := func(text []byte, err error) bool {
			if err != nil {
				return yield(nil, err)
			}
			uid, err := uuid.NewV7()
			if err != nil {
				yield(nil, fmt.Errorf("import: %w", err))
				return false
			}
			del := &call.Delivery{
				UID:         uid.String(),
				Account:     account,
				ReceivedAt:  now.UTC().Truncate(time.Millisecond),
				Method:      "POST",
				ContentType: contentType(text),
				Body:        text,
				Source:      call.SourceImport,
			}
			d.Decode(del)
			return yield(del, nil)
		}
		r := bufio.NewReaderSize(file, maxDocument)
		for {
			bom, err := r.Peek(3)
			if err == nil && string(bom) == "\ufeff" {
				_, err = r.Discard(3)
			}
			if err != nil {
				break // what there is, is read below
			}
			if c := bom[0]; c != ' ' && c != '\t' && c != '\r' && c != '\n' {
				break
			}
			if _, err := r.Discard(1); err != nil {
				break
			}
		}
		if byDocument(r) {
			documents(r, deliver)
		} else {
			lines(r, deliver)
		}
	}
}

func contentType(text []byte) string {
	if text[0] == '{' || text[0] == '[' {
		return "application/json"
	}
	return "application/x-www-form-urlencoded"
}

// byDocument reports whether a file that begins like JSON goes on with it
// after its first line. A first line that is broken JSON costs itself alone.
func byDocument(r *bufio.Reader) bool {
	head, _ := r.Peek(maxDocument) // an error comes again when it is read
	line, _, _ := bytes.Cut(head, []byte("\n"))
	line = bytes.TrimSpace(line)
	if len(line) == 0 || line[0] != '{' && line[0] != '[' {
		return false
	}
	var value json.RawMessage
	return errors.Is(json.NewDecoder(bytes.NewReader(line)).Decode(&value), io.ErrUnexpectedEOF)
}

func lines(r *bufio.Reader, deliver func([]byte, error) bool) {
	for number := 1; ; number++ {
		line, err := r.ReadSlice('\n')
		if errors.Is(err, bufio.ErrBufferFull) {
			for errors.Is(err, bufio.ErrBufferFull) {
				_, err = r.ReadSlice('\n')
			}
			if !deliver(nil, fmt.Errorf("import: line %d is larger than %d bytes", number, maxDocument)) {
				return
			}
			line = nil
		}
		if line = bytes.TrimSpace(line); len(line) > 0 && !deliver(bytes.Clone(line), nil) {
			return
		}
		if errors.Is(err, io.EOF) {
			return
		}
		if err != nil {
			deliver(nil, fmt.Errorf("import: line %d: %w", number, err))
			return
		}
	}
}

func documents(r *bufio.Reader, deliver func([]byte, error) bool) {
	dec := json.NewDecoder(r)
	if first, err := r.Peek(1); err == nil && first[0] == '[' {
		// Each element by itself, for the array may be of any size.
		if _, err := dec.Token(); err != nil {
			deliver(nil, fmt.Errorf("import: %w", err))
			return
		}
	}
	for number := 1; ; number++ {
		if !dec.More() {
			// The end of the file or of the array, after which others may come.
			if _, err := dec.Token(); err != nil {
				if !errors.Is(err, io.EOF) {
					deliver(nil, fmt.Errorf("import: document %d: %w", number, err))
				}
				return
			}
			continue
		}
		var raw json.RawMessage
		if err := dec.Decode(&raw); err != nil {
			deliver(nil, fmt.Errorf("import: document %d: %w", number, err))
			return
		}
		if len(raw) > maxDocument {
			if !deliver(nil, fmt.Errorf("import: document %d is larger than %d bytes", number, maxDocument)) {
				return
			}
		} else if !deliver(raw, nil) {
			return
		}
	}
}
