package store

import (
	"bytes"
	"context"
	"database/sql"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"callvault/internal/audit"
	"callvault/internal/call"
)

// JournalCheck compares rows with the journal in the vault, of which whoever
// changes rows, however consistently, has not changed a byte. It may be used for
// as long as the program runs, by one at a time.
type JournalCheck struct {
	s *Store
	// forgotten deliveries were deleted because their terms were over, from
	// erased ones something was taken out on request: so the log says, read up to
	// the entry before upTo.
	forgotten, erased audit.Ranges
	upTo              int64
}

// NewJournalCheck makes a JournalCheck.
func (s *Store) NewJournalCheck() *JournalCheck { return &JournalCheck{s: s} }

// NextSegment returns the first segment in the vault after the one with a
// number, if there is one. If its row cannot be read it gives the number, and a
// call.UnreadableError.
func (j *JournalCheck) NextSegment(ctx context.Context, after int64) (g call.JournalSegment, found bool, err error) {
	err = j.s.each(ctx, "SELECT "+segmentColumns+" FROM journal_segments WHERE number > ? AND sha256 <> '' ORDER BY number LIMIT 1", []any{after}, func(rows *sql.Rows) error {
		found = true
		return rows.Scan(segmentFields(&g)...)
	})
	if err != nil {
		return g, false, fmt.Errorf("read the journal's segments: %w", err)
	}
	return g, found, nil
}

func (j *JournalCheck) checker() *checker {
	return newChecker(j.s, call.CheckOptions{}, call.FaultJournal)
}

// CheckSegment compares what a segment, as it was read from the vault, says of
// itself with its row, with the one before it and with what the log says of it.
func (j *JournalCheck) CheckSegment(ctx context.Context, read call.JournalSegment) (call.Checked, error) {
	c := j.checker()
	where := segmentPlace(read.Number)
	c.checked.Where = append(c.checked.Where, where)
	what, err := j.segment(ctx, read)
	if err != nil {
		return c.checked, fmt.Errorf("check journal segment %d: %w", read.Number, err)
	}
	if what != "" {
		c.fault(call.FaultJournal, where, "%s", what)
	}
	return c.checked, nil
}

func segmentPlace(number int64) string { return "journal/" + strconv.FormatInt(number, 10) }

func (j *JournalCheck) segment(ctx context.Context, read call.JournalSegment) (what string, err error) {
	kept, found, err := j.NextSegment(ctx, read.Number-1)
	if err != nil || !found || kept.Number != read.Number || kept.SHA256 != read.SHA256 {
		return "", err // it has become another meanwhile
	}
	switch {
	case !kept.At.Equal(read.At), kept.Previous != read.Previous, kept.DeliveriesAfter != read.DeliveriesAfter, kept.DeliveriesTo != read.DeliveriesTo,
		kept.Deliveries != read.Deliveries, kept.EntriesFrom != read.EntriesFrom, kept.EntriesTo != read.EntriesTo:
		return "its row is not what it says of itself", nil
	case kept.RetainUntil.Before(read.RetainUntil.Truncate(time.Millisecond)):
		return less(kept.RetainUntil, read.RetainUntil), nil
	}
	logged, err := j.loggedSegments(ctx, read.Number)
	if err != nil {
		return "", err
	}
	if len(logged) == 0 || logged[len(logged)-1] != read.SHA256 {
		return "the log does not say that it was written with the bytes that it has", nil
	}
	if read.Number == 1 {
		return "", nil
	}
	before, err := j.loggedSegments(ctx, read.Number-1)
	if err == nil && !slices.Contains(before, read.Previous) {
		what = "it does not continue the one before, as the log says that was written"
	}
	return what, err
}

// loggedSegments are the hashes that a segment had by the log, the last one
// last.
func (j *JournalCheck) loggedSegments(ctx context.Context, number int64) (hashes []string, err error) {
	err = j.s.each(ctx, "SELECT facts FROM audit_entries WHERE subject = ? AND subject <> '' AND action IN (?, ?) ORDER BY seq",
		[]any{segmentPlace(number), string(audit.JournalWritten), string(audit.JournalRewritten)}, func(rows *sql.Rows) error {
			var f segmentFacts
			if err := rows.Scan(jsonInto{&f}); err != nil {
				return passOver(rows, err) // the check of the log names it
			}
			hashes = append(hashes, f.SHA256)
			return nil
		})
	return hashes, err
}

// CheckJournaled compares the deliveries with after < id <= to with those that
// the journal has, in the order of their ids. What the journal has no body of is
// compared by its hash.
func (j *JournalCheck) CheckJournaled(ctx context.Context, after, to int64, lines []*call.JournaledDelivery) (call.Checked, error) {
	c := j.checker()
	rows, broken, err := j.rows(ctx, after, to)
	if err != nil {
		return c.checked, fmt.Errorf("compare deliveries with the journal: %w", err)
	}
	for _, line := range lines {
		place := "delivery/" + strconv.FormatInt(line.ID, 10)
		c.checked.Where = append(c.checked.Where, place)
		what := broken[line.ID]
		if what == "" {
			if what, err = j.differs(ctx, rows[line.ID], line); err != nil {
				return c.checked, fmt.Errorf("compare deliveries with the journal: %w", err)
			}
		}
		if what != "" {
			c.fault(call.FaultJournal, place, "%s", what)
		}
		delete(rows, line.ID)
	}
	for _, id := range slices.Sorted(maps.Keys(rows)) {
		place := "delivery/" + strconv.FormatInt(id, 10)
		c.checked.Where = append(c.checked.Where, place)
		c.fault(call.FaultJournal, place, "the journal of its time does not have it: its row was put there later")
	}
	return c.checked, nil
}

// rows are deliveries as they are stored, without their bodies; broken says what is
// wrong with those that cannot be read.
func (j *JournalCheck) rows(ctx context.Context, after, to int64) (found map[int64]*call.JournaledDelivery, broken map[int64]string, err error) {
	found, broken = map[int64]*call.JournaledDelivery{}, map[int64]string{}
	err = j.s.each(ctx, "SELECT "+deliveryColumns+", body_sha256, erased FROM deliveries WHERE id > ? AND id <= ?", []any{after, to}, func(rows *sql.Rows) error {
		d := &call.JournaledDelivery{}
		var query []byte
		err := rows.Scan(&d.ID, &d.UID, &d.Account, timeInto{&d.ReceivedAt}, &d.Method, &d.ContentType, &query, &d.RemoteAddress,
			&d.Source, &d.Outcome, &d.Error, &d.BodySHA256, &d.Erased)
		d.Query = string(query)
		found[d.ID] = d
		if bad := call.AsUnreadable(unreadable(rows, err)); bad != nil {
			broken[d.ID], err = bad.What(), nil
		}
		return err
	})
	if err != nil || len(found) == 0 {
		return found, broken, err
	}
	err = j.s.each(ctx, "SELECT delivery_id, outcome FROM delivery_items WHERE delivery_id > ? AND delivery_id <= ? ORDER BY delivery_id, item", []any{after, to}, func(rows *sql.Rows) error {
		var id int64
		var it call.Item
		if err := rows.Scan(&id, &it.Outcome); err != nil {
			return passOver(rows, err) // the check of deliveries names it
		}
		if d := found[id]; d != nil {
			d.Items = append(d.Items, it)
		}
		return nil
	})
	return found, broken, err
}

// differs says how a row differs from what the journal has, if it does; there may
// be none. What a delivery is about may be read otherwise by replay; but what told
// of a call first stays the first.
func (j *JournalCheck) differs(ctx context.Context, row, line *call.JournaledDelivery) (string, error) {
	if row == nil {
		if err := j.readLog(ctx); err != nil || j.forgotten.Has(line.ID) {
			return "", err
		}
		return "its row is gone, and the log does not say why; the journal has it", nil
	}
	if row.Erased != "" && line.Erased == "" {
		if err := j.readLog(ctx); err != nil {
			return "", err
		}
		if !j.erased.Has(row.ID) {
			return "its row says that something was erased from it, and the log does not", nil
		}
	}
	whole := row.Erased == "" && line.Erased == ""
	var differ []string
	for _, column := range []struct {
		name  string
		other bool
	}{
		{"uid", row.UID != line.UID},
		{"account", row.Account != line.Account},
		{"received_at", !row.ReceivedAt.Equal(line.ReceivedAt)},
		{"source", row.Source != line.Source},
		{"method", row.Method != line.Method},
		{"body_sha256", !bytes.Equal(row.BodySHA256, line.BodySHA256)},
		{"content_type", row.ContentType != line.ContentType},
		{"query", whole && row.Query != line.Query},
		{"remote_address", whole && row.RemoteAddress != line.RemoteAddress},
		{"erased", row.Erased == "" && line.Erased != ""},
	} {
		if column.other {
			differ = append(differ, column.name)
		}
	}
	for n := range min(len(row.Items), len(line.Items)) {
		if was, is := line.Items[n].Outcome, row.Items[n].Outcome; was != is && told(was) && told(is) {
			differ = append(differ, fmt.Sprintf("the outcome of item %d", n))
		}
	}
	if len(differ) == 0 {
		return "", nil
	}
	return "its row is not what the journal has, in " + strings.Join(differ, ", "), nil
}

// readLog takes what the log has said since it was last read of deliveries that
// are gone, or were erased.
func (j *JournalCheck) readLog(ctx context.Context) error {
	var forgotten audit.Ranges
	var erased []int64
	upTo := j.upTo
	err := j.s.each(ctx, `SELECT seq, action, facts FROM audit_entries WHERE seq >= ? AND action IN (?, ?, ?) AND action <> 'recording.archived' ORDER BY seq`,
		[]any{j.upTo, string(audit.DeliveriesExpired), string(audit.CallsExpired), string(audit.ErasureDone)}, func(rows *sql.Rows) error {
			var seq int64
			var action audit.Action
			var facts []byte
			if err := rows.Scan(&seq, &action, &facts); err != nil {
				return err
			}
			upTo = seq + 1
			// The check of the log names what cannot be read, and who says nothing
			// excuses nothing.
			if action != audit.ErasureDone {
				var f audit.ForgottenFacts
				if json.Unmarshal(facts, &f) == nil {
					forgotten = append(forgotten, f.DeliveryIDs...)
				}
				return nil
			}
			var f itemFacts
			if json.Unmarshal(facts, &f) != nil || f.Kind != call.ErasedDelivery || f.Untouched {
				return nil //nolint:nilerr // as said
			}
			for _, ref := range f.Refs {
				if id, err := strconv.ParseInt(ref, 10, 64); err == nil {
					erased = append(erased, id)
				}
			}
			return nil
		})
	if err != nil {
		return fmt.Errorf("read what the log says of deliveries: %w", err)
	}
	j.forgotten, j.erased, j.upTo = j.forgotten.With(forgotten), j.erased.With(audit.RangesOf(erased...)), upTo
	return nil
}

// CheckLogged compares entries of the log with those that the journal has, which
// follow each other.
func (j *JournalCheck) CheckLogged(ctx context.Context, lines []audit.Entry) (call.Checked, error) {
	c := j.checker()
	if len(lines) == 0 {
		return c.checked, nil
	}
	page, err := j.s.keptEntries(ctx, lines[0].Seq, len(lines))
	if err != nil {
		return c.checked, fmt.Errorf("compare the log with the journal: %w", err)
	}
	rows := map[int64]keptEntry{}
	for _, e := range page {
		rows[e.Seq] = e
	}
	for _, line := range lines {
		where := entryPlace(line.Seq)
		c.checked.Where = append(c.checked.Where, where)
		row, there := rows[line.Seq]
		if !there {
			c.fault(call.FaultJournal, where, "it is gone; the journal has it")
			continue
		}
		if row.unreadable != "" {
			c.fault(call.FaultJournal, where, "%s", row.unreadable)
			continue
		}
		if isSameEntry(&row.Entry, &line) {
			continue // and so is what would be hashed
		}
		was, err := line.Record()
		if err != nil {
			return c.checked, err
		}
		if is, err := row.Record(); err != nil || !bytes.Equal(was, is) {
			c.fault(call.FaultJournal, where, "it is not what the journal has")
		}
	}
	return c.checked, nil
}

// isSameEntry reports whether two entries are the same as they stand, without
// bringing them into their normal form.
func isSameEntry(a, b *audit.Entry) bool {
	return a.Seq == b.Seq && a.At.Equal(b.At) && a.Action == b.Action && a.Actor == b.Actor && a.Subject == b.Subject && a.Reason == b.Reason && bytes.Equal(a.Facts, b.Facts)
}
