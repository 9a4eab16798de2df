package store

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"

	"callvault/internal/call"
)

// This file and its neighbours compute again what follows from what came in,
// and compare it with the rows: calls with their legs, legs with their
// deliveries, deliveries with their bodies. Pages are read by key, so no
// transaction lasts longer than one. Nothing is mended.

// checker is one page of a check.
type checker struct {
	*Store
	o       call.CheckOptions
	checked call.Checked
}

func newChecker(s *Store, o call.CheckOptions, kind call.FaultKind) *checker {
	return &checker{Store: s, o: o, checked: call.Checked{Kinds: []call.FaultKind{kind}}}
}

func (c *checker) fault(kind call.FaultKind, where, format string, args ...any) {
	c.checked.Faults = append(c.checked.Faults, call.Fault{Kind: kind, Where: where, What: fmt.Sprintf(format, args...)})
}

// differs notes what is not what this program makes of it. What was last read
// before this version began to read may only have been read otherwise.
func (c *checker) differs(kind call.FaultKind, where, what string, readAt time.Time) {
	if c.o.ReadSince.IsZero() || !readAt.Before(c.o.ReadSince) {
		c.fault(kind, where, "%s", what)
		return
	}
	c.checked.Notices = append(c.checked.Notices, call.Fault{Kind: kind, Where: where, What: fmt.Sprintf(
		"%s; it was read by an earlier version of Callvault, before %s: replay reads it again, and what differs then is a fault",
		what, c.o.ReadSince.UTC().Format(time.DateOnly))})
}

// sameValues names the columns in which a row as it was read is not the one
// that would be written.
func sameValues(columns []string, row, want []any) ([]string, error) {
	var differ []string
	for i := range want {
		w := want[i]
		if v, ok := w.(driver.Valuer); ok {
			var err error
			if w, err = v.Value(); err != nil {
				return nil, err
			}
		}
		switch v := w.(type) {
		case int:
			w = int64(v)
		case string:
			w = cleanText(v)
		}
		if got := row[i]; got != w {
			differ = append(differ, columns[i])
		}
	}
	return differ, nil
}

// anyRow reads a row's columns as the database has them.
func anyRow(n int) (row, into []any) {
	row, into = make([]any, n), make([]any, n)
	for i := range row {
		into[i] = &row[i]
	}
	return row, into
}

func columnNames(columns string) []string {
	names := strings.Split(columns, ",")
	for i := range names {
		names[i] = strings.TrimSpace(names[i])
	}
	return names
}

// CheckCalls compares a page of calls, beginning after the place that a page
// before ended with, with what their legs give.
func (s *Store) CheckCalls(ctx context.Context, o call.CheckOptions, after string, limit int) (call.Checked, error) {
	c := newChecker(s, o, call.FaultCall)
	if err := c.calls(ctx, after, limit); err != nil {
		return call.Checked{}, fmt.Errorf("check calls: %w", err)
	}
	return c.checked, nil
}

// keptCall is a call's row, its legs, and by what else it is found.
type keptCall struct {
	id   string
	row  []any
	legs []call.Leg
	// broken: a leg cannot be read.
	broken bool
	// links are the identifiers that lead to it and decide nothing.
	links []callKey
	// numbers are those of the business and of its agent; isUnsearched: one of them
	// is not among those by which calls are searched.
	numbers      [2]string
	isUnsearched bool
}

// mergedLeg is what Merge needs of a leg: no attributes, to take in which is half of
// the work of reading one. They are only looked at.
type mergedLeg struct {
	call.Leg
	Attributes json.RawMessage `json:"attributes"`
}

// isWhole reports whether the leg's attributes can be read, too.
func (l *mergedLeg) isWhole() bool {
	return len(l.Attributes) == 0 || l.Attributes[0] == '{' || string(l.Attributes) == "null"
}

func (c *checker) calls(ctx context.Context, after string, limit int) error {
	at, id := any(int64(math.MinInt64)), ""
	var where conditions
	if after != "" {
		var err error
		if at, id, err = readCallPlace(after); err != nil {
			return err
		}
	} else if !c.o.From.IsZero() {
		at = c.o.From.UnixMilli() - 1
		id = "\U0010FFFF"
	}
	where.add("started_at >= ? AND (started_at, id) > (?, ?)", at, at, id)
	if !c.o.To.IsZero() {
		where.add("started_at < ?", c.o.To.UnixMilli())
	}
	page, err := c.callPage(ctx, where, limit)
	if err == nil && len(page) == limit {
		last := page[len(page)-1]
		c.checked.Next, err = makeCallPlace(last.row[slices.Index(callNames(), "started_at")], last.id)
		if err == nil && c.checked.Next == after {
			err = &call.UnreadableError{Column: "started_at", ID: last.id, Err: errors.New("what stands there has no place in an order")}
		}
	}
	return err
}

// strayPlace is a place behind a call of which no number says when it started:
// SQLite keeps whatever somebody writes there, and such a page may end with it.
type strayPlace struct {
	// Kind is real, text or bytes.
	Kind    string `json:"kind"`
	Started string `json:"started"`
	ID      string `json:"id"`
}

func makeCallPlace(started any, id string) (string, error) {
	place := strayPlace{Kind: "bytes", Started: anyText(started), ID: id}
	switch at := started.(type) {
	case int64:
		return makeCursor(at, id), nil
	case float64:
		place.Kind, place.Started = "real", strconv.FormatFloat(at, 'g', -1, 64)
	case string:
		place.Kind = "text"
	}
	text, err := json.Marshal(place)
	return string(text), err
}

func readCallPlace(after string) (started any, id string, err error) {
	if !strings.HasPrefix(after, "{") {
		return readCursor(after)
	}
	var place strayPlace
	err = json.Unmarshal([]byte(after), &place)
	switch started = place.Started; place.Kind {
	case "real":
		if err == nil {
			started, err = strconv.ParseFloat(place.Started, 64)
		}
	case "bytes":
		started = []byte(place.Started)
	}
	if err != nil {
		return nil, "", call.Errorf(call.Invalid, "not a place that a page ended with")
	}
	return started, place.ID, nil
}

func callNames() []string { return columnNames(callColumns + ", customer_rev") }

// callPage checks the calls that are selected.
func (c *checker) callPage(ctx context.Context, where conditions, limit int) ([]keptCall, error) {
	page, err := c.keptCalls(ctx, where, limit)
	if err != nil {
		return nil, err
	}
	lacking, err := c.lacking(ctx, page)
	if err != nil {
		return nil, err
	}
	for i := range page {
		if err := c.call(ctx, &page[i]); err != nil {
			return nil, err
		}
		id := page[i].id
		if !lacking[id] {
			continue
		}
		if err := c.lacks(ctx, id); err != nil {
			return nil, err
		}
	}
	return page, nil
}

// keptCalls reads the calls that are selected.
func (c *checker) keptCalls(ctx context.Context, where conditions, limit int) ([]keptCall, error) {
	names := callNames()
	business, agent := slices.Index(names, "business_number"), slices.Index(names, "agent_number")
	// Call and legs are of one moment only if one statement reads both.
	const order = " ORDER BY started_at, id LIMIT ?"
	args := append(slices.Clip(where.args), limit)
	query := "SELECT c." + strings.Join(names, ", c.") + ", l.facts FROM (SELECT " + callColumns + ", customer_rev FROM calls" + where.where() +
		order + ") c LEFT JOIN legs l ON l.call_id = c.id ORDER BY c.started_at, c.id, l.id"
	var page []keptCall
	err := c.each(ctx, query, args, func(rows *sql.Rows) error {
		row, into := anyRow(len(names))
		var facts sql.NullString
		if err := rows.Scan(append(into, &facts)...); err != nil {
			return err
		}
		id := anyText(row[0])
		if len(page) == 0 || page[len(page)-1].id != id {
			kept := keptCall{id: id, row: row}
			kept.numbers[0], _ = row[business].(string)
			kept.numbers[1], _ = row[agent].(string)
			page = append(page, kept)
		}
		kept := &page[len(page)-1]
		if !facts.Valid {
			return nil
		}
		var l mergedLeg
		if err := (jsonInto{&l}).Scan(facts.String); err != nil || !l.isWhole() {
			kept.broken = true
		}
		kept.legs = append(kept.legs, l.Leg)
		return nil
	})
	if err == nil {
		err = c.readFound(ctx, page, "SELECT id FROM calls"+where.where()+order, args)
	}
	return page, err
}

func (c *checker) call(ctx context.Context, kept *keptCall) error {
	where := "call/" + kept.id
	c.checked.Where = append(c.checked.Where, where)
	switch {
	case kept.broken:
		c.fault(call.FaultCall, where, "one of its legs cannot be read any more: it was altered")
		return nil
	case len(kept.legs) == 0:
		c.fault(call.FaultCall, where, "it has no leg any more")
		return nil
	}
	for _, l := range kept.legs[1:] {
		if l.Account != kept.legs[0].Account {
			c.fault(call.FaultCall, where, "its legs are of different accounts")
			return nil
		}
	}
	want := call.Merge(kept.legs)
	want.ID = kept.id
	differ, err := sameValues(callNames(), kept.row, callValues(want, nil))
	if err != nil {
		return err
	}
	if len(differ) == 0 {
		return c.found(ctx, kept)
	}
	readAt, err := c.lastReport(ctx, "l.call_id = ?", kept.id)
	if err != nil {
		return err
	}
	c.differs(call.FaultCall, where, "its row is not what its legs give, in "+strings.Join(differ, ", "), readAt)
	return nil
}

// found compares by what a call is found with what its legs give. What looks wrong is
// looked at once more: a report may have come between the two being read.
func (c *checker) found(ctx context.Context, kept *keptCall) error {
	if kept.unfound() == "" {
		return nil
	}
	var one conditions
	one.add("id = ?", kept.id)
	again, err := c.keptCalls(ctx, one, 1)
	if err != nil || len(again) == 0 {
		return err // it has become one with another
	}
	if what := again[0].unfound(); what != "" {
		c.fault(call.FaultCall, "call/"+kept.id, "%s", what)
	}
	return nil
}

// lastReport is when the last delivery came that told of certain legs; now, if
// none is kept, or nobody can tell.
func (c *checker) lastReport(ctx context.Context, legs string, args ...any) (time.Time, error) {
	var at time.Time
	err := c.each(ctx, "SELECT max(d.received_at) FROM legs l JOIN delivery_items i ON i.leg_id = l.id JOIN deliveries d ON d.id = i.delivery_id WHERE "+legs, args,
		func(rows *sql.Rows) error { return passOver(rows, rows.Scan(timeInto{&at})) })
	if at.IsZero() {
		at = time.Now()
	}
	return at, err
}
