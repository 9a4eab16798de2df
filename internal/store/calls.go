package store

import (
	"context"
	"database/sql"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"callvault/internal/call"
)

const callColumns = `id, account, provider, call_key, key_kind, direction, outcome, status,
	customer_number, business_number, agent_id, agent_name, agent_number, offers,
	group_name, campaign, started_at, answered_at, ended_at,
	wait_seconds, talk_seconds, total_seconds, hangup_cause, hangup_by, cost, legs_count`

func scanCall(rows *sql.Rows, c *call.Call) error { return rows.Scan(callFields(c)...) }

func callFields(c *call.Call) []any {
	return []any{&c.ID, &c.Account, &c.Provider, &c.Key, &c.KeyKind, &c.Direction, &c.Outcome, &c.Status,
		&c.CustomerNumber, &c.BusinessNumber, &c.Agent.ID, &c.Agent.Name, &c.Agent.Number, jsonInto{&c.Offers},
		&c.Group, &c.Campaign, timeInto{&c.StartedAt}, timeInto{&c.AnsweredAt}, timeInto{&c.EndedAt},
		&c.WaitSeconds, &c.TalkSeconds, &c.TotalSeconds, &c.HangupCause, &c.HangupBy, &c.Cost, &c.LegsCount}
}

var callUpsert = func() string {
	columns := strings.Split(callColumns+", customer_rev", ",")
	var sets []string
	for _, c := range columns {
		c = strings.TrimSpace(c)
		if c != "id" {
			sets = append(sets, c+" = excluded."+c)
		}
	}
	return " ON CONFLICT (id) DO UPDATE SET " + strings.Join(sets, ", ")
}()

func (t *tx) upsertCalls(ctx context.Context, calls []call.Call, isNew func(call.Call) bool) error {
	return upsertMany(ctx, t, "write calls", "INSERT INTO calls ("+callColumns+", customer_rev)", "tttttttttttttttt"+"iiiiii"+"ttti"+"t", callUpsert, calls, isNew, callValues)
}

// callValues adds a call's values to args, in the order of callColumns and
// customer_rev.
func callValues(c call.Call, args []any) []any {
	var offers string
	if len(c.Offers) > 0 {
		text, err := json.Marshal(c.Offers)
		if err == nil { // plain strings always marshal
			offers = string(text)
		}
	}
	var started int64
	if !c.StartedAt.IsZero() {
		started = c.StartedAt.UnixMilli()
	}
	return append(args, c.ID, c.Account, string(c.Provider), c.Key, string(c.KeyKind), string(c.Direction), string(c.Outcome), c.Status,
		c.CustomerNumber, c.BusinessNumber, c.Agent.ID, c.Agent.Name, c.Agent.Number, offers,
		c.Group, c.Campaign, started, millis(c.AnsweredAt), millis(c.EndedAt),
		number(c.WaitSeconds), number(c.TalkSeconds), number(c.TotalSeconds), c.HangupCause, c.HangupBy, c.Cost, c.LegsCount,
		reverseDigits(c.CustomerNumber))
}

// number passes an optional number to the database without reflection.
func number(n *int) any {
	if n == nil {
		return nil
	}
	return int64(*n)
}

// conditions collects the conditions of a WHERE clause and their arguments.
type conditions struct {
	texts []string
	args  []any
}

func (c *conditions) add(text string, args ...any) {
	c.texts = append(c.texts, text)
	c.args = append(c.args, args...)
}

// addList adds a condition that ends with a list of values, if there are any.
func (c *conditions) addList(text string, values []string) {
	if len(values) == 0 {
		return
	}
	args := make([]any, len(values))
	for i, v := range values {
		args[i] = v
	}
	c.add(text+" "+tuples(1, len(args)), args...)
}

func (c *conditions) where() string {
	if len(c.texts) == 0 {
		return ""
	}
	return " WHERE " + strings.Join(c.texts, " AND ")
}

// prefixEnd is the least text that is greater than all texts that begin with
// prefix, in bytewise order.
func prefixEnd(prefix string) string { return prefix + "\U0010FFFF" }

// matching says in SQL which calls a filter selects, without its cursor.
func (s *Store) matching(ctx context.Context, f call.Filter) (conditions, error) {
	var c conditions
	if f.NoStart {
		c.addNoStart(f.From, f.To)
	} else {
		c.addStart(f.From, f.To)
	}
	for _, equal := range []struct{ column, value string }{
		{"account", f.Account},
		{"direction", string(f.Direction)},
		{"outcome", string(f.Outcome)},
		{"campaign", f.Campaign},
	} {
		if equal.value != "" {
			c.add(equal.column+" = ?", equal.value)
		}
	}
	if f.Group != "" {
		c.addGroups([]string{f.Group}, f.GroupAgents)
	}
	c.addGroups(f.Groups, f.GroupsAgents)
	c.addList("account NOT IN", f.NotAccounts)
	c.addAgent(f.Agent, f.Agents)
	if rev := reverseDigits(f.Number); rev != "" {
		customer := "id IN (SELECT id FROM calls WHERE customer_rev >= ? AND customer_rev < ?)"
		args := []any{rev, prefixEnd(rev)}
		// Few numbers are agents' or business numbers, and those are on many
		// calls: they need no index.
		own, err := s.findOwnNumbers(ctx, rev)
		if err != nil {
			return c, err
		}
		if len(own) > 0 {
			list := tuples(1, len(own))
			customer = "(" + customer + " OR business_number IN " + list + " OR agent_number IN " + list + ")"
			args = append(append(args, own...), own...)
		}
		c.add(customer, args...)
	} else if f.Number != "" {
		c.add("1 = 0") // no digit in it: it matches no number
	}
	if f.Text != "" {
		end, name := prefixEnd(f.Text), likePrefix(call.FoldName(f.Text))
		var named conditions
		people := ""
		if f.TextAgents != nil {
			people = " OR " + named.agents(f.TextAgents)
		}
		c.add(`(lower(agent_name) LIKE ? ESCAPE '!' OR lower(group_name) LIKE ? ESCAPE '!'
			OR id IN (SELECT call_id FROM call_keys WHERE value >= ? AND value < ?
				UNION ALL SELECT call_id FROM call_links WHERE value >= ? AND value < ?
				UNION ALL SELECT call_id FROM legs WHERE leg_key >= ? AND leg_key < ?)
			OR id = ?`+people+`)`, append([]any{name, name, f.Text, end, f.Text, end, f.Text, end, f.Text}, named.args...)...)
	}
	switch f.Recording {
	case "":
	case call.RecordingNone:
		c.add("NOT EXISTS (SELECT 1 FROM recordings r WHERE r.call_id = calls.id)")
	default:
		c.add("EXISTS (SELECT 1 FROM recordings r WHERE r.call_id = calls.id AND r.state = ?)", string(f.Recording))
	}
	if err := c.audioFault(f.Audio); err != nil {
		return c, err
	}
	if f.MinTalk != nil {
		c.add("talk_seconds >= ?", *f.MinTalk)
	}
	if f.MaxTalk != nil {
		c.add("talk_seconds <= ?", *f.MaxTalk)
	}
	return c, nil
}

// addStart selects calls that started between two times, if they are set.
func (c *conditions) addStart(from, to time.Time) {
	if !from.IsZero() {
		c.add("started_at >= ?", from.UnixMilli())
	}
	if !to.IsZero() {
		c.add("started_at < ?", to.UnixMilli())
		if from.IsZero() {
			c.add("started_at > 0")
		}
	}
}

// endedOrAnswered is when a call without a start counts: at its end, else its
// answer; NULL if it tells neither.
const endedOrAnswered = "coalesce(nullif(calls.ended_at, 0), nullif(calls.answered_at, 0))"

// addNoStart selects calls without a start, between two times if they are set:
// those that tell no time at all count by when they were first heard of. So each
// is in exactly one day.
func (c *conditions) addNoStart(from, to time.Time) {
	const at = endedOrAnswered
	c.add("started_at = 0")
	if !from.IsZero() {
		c.add("("+at+" >= ? OR "+at+" IS NULL AND id >= ?)", from.UnixMilli(), firstIDFrom(from))
	}
	if !to.IsZero() {
		c.add("("+at+" < ? OR "+at+" IS NULL AND id < ?)", to.UnixMilli(), firstIDFrom(to))
	}
}

func likePrefix(s string) string {
	return strings.NewReplacer("!", "!!", "%", "!%", "_", "!_").Replace(s) + "%"
}

// FindCalls finds calls with their recordings, newest first unless the filter
// says otherwise, and the cursor of the next page, empty after the last. A
// filter or cursor that makes no sense is a call.Invalid error.
func (s *Store) FindCalls(ctx context.Context, f call.Filter) ([]call.CallWithRecordings, string, error) {
	limit, err := pageSize(f.Limit)
	if err != nil {
		return nil, "", err
	}
	c, err := s.matching(ctx, f)
	if err != nil {
		return nil, "", err
	}
	// SQLite begins to look at the plain bound, not at the pair.
	order, beyond := " ORDER BY started_at DESC, id DESC", "started_at <= ? AND (started_at, id) < (?, ?)"
	switch f.Sort {
	case "", call.NewestFirst:
	case call.OldestFirst:
		order, beyond = " ORDER BY started_at, id", "started_at >= ? AND (started_at, id) > (?, ?)"
	default:
		return nil, "", call.Errorf(call.Invalid, "sort must be %s or %s", call.NewestFirst, call.OldestFirst)
	}
	if f.Cursor != "" {
		at, id, err := readCursor(f.Cursor)
		if err != nil {
			return nil, "", err
		}
		c.add(beyond, at, at, id)
	}
	// One more than asked for says whether there is a next page.
	calls, err := s.calls(ctx, c, order, limit+1)
	if err != nil {
		return nil, "", err
	}
	next := ""
	if len(calls) > limit {
		calls = calls[:limit]
		next = callCursor(&calls[limit-1].Call)
	}
	if err := s.addRecordings(ctx, calls); err != nil {
		return nil, "", err
	}
	return calls, next, nil
}

func (s *Store) calls(ctx context.Context, c conditions, order string, limit int) ([]call.CallWithRecordings, error) {
	calls := make([]call.CallWithRecordings, 0, min(limit, call.MaxLimit+1))
	err := s.each(ctx, "SELECT "+callColumns+" FROM calls"+c.where()+order+" LIMIT ?", append(c.args, limit),
		func(rows *sql.Rows) error {
			calls = append(calls, call.CallWithRecordings{})
			return scanCall(rows, &calls[len(calls)-1].Call)
		})
	if err != nil {
		return nil, fmt.Errorf("find calls: %w", err)
	}
	return calls, nil
}

// addRecordings reads the recordings of the calls of one page.
func (s *Store) addRecordings(ctx context.Context, calls []call.CallWithRecordings) error {
	index := make(map[string]int, len(calls))
	for i := range calls {
		index[calls[i].ID] = i
	}
	err := inChunks(calls, func(chunk []call.CallWithRecordings) error {
		ids := make([]any, len(chunk))
		for i := range chunk {
			ids[i] = chunk[i].ID
		}
		return s.each(ctx, recordingRow+" WHERE call_id IN (VALUES "+tuples(len(ids), 1)+") ORDER BY call_id, id",
			ids, func(rows *sql.Rows) error {
				var r call.Recording
				if err := scanRecording(rows, &r); err != nil {
					return err
				}
				c := &calls[index[r.CallID]]
				c.Recordings = append(c.Recordings, r)
				return nil
			})
	})
	if err != nil {
		return fmt.Errorf("read the recordings of calls: %w", err)
	}
	return nil
}

func pageSize(limit int) (int, error) {
	switch {
	case limit == 0:
		return call.DefaultLimit, nil
	case limit < 0 || limit > call.MaxLimit:
		return 0, call.Errorf(call.Invalid, "limit must be from 1 to %d", call.MaxLimit)
	}
	return limit, nil
}

func callCursor(c *call.Call) string {
	var at int64
	if !c.StartedAt.IsZero() {
		at = c.StartedAt.UnixMilli()
	}
	return makeCursor(at, c.ID)
}

func makeCursor(n int64, id string) string {
	return base64.RawURLEncoding.EncodeToString([]byte(strconv.FormatInt(n, 36) + "." + id))
}

func readCursor(cursor string) (int64, string, error) {
	raw, err := base64.RawURLEncoding.DecodeString(cursor)
	number, id, ok := strings.Cut(string(raw), ".")
	n, numberErr := strconv.ParseInt(number, 36, 64)
	if err != nil || !ok || numberErr != nil {
		return 0, "", call.Errorf(call.Invalid, "cursor is not one that a page ended with")
	}
	return n, id, nil
}

// eachPage is how many calls EachCall reads at a time: enough to be fast, few
// enough to be small.
const eachPage = 500

// EachCall calls f for every call that the filter selects, in the order of
// (StartedAt, ID), with its recordings. It reads pages by key, so no
// transaction stays open while f works; the filter's limit, cursor and sort
// are not used.
func (s *Store) EachCall(ctx context.Context, filter call.Filter, f func(call.CallWithRecordings) error) error {
	at, id := int64(-1), ""
	for {
		c, err := s.matching(ctx, filter)
		if err != nil {
			return err
		}
		c.add("(started_at, id) > (?, ?)", at, id)
		calls, err := s.calls(ctx, c, " ORDER BY started_at, id", eachPage)
		if err != nil {
			return err
		}
		if err := s.addRecordings(ctx, calls); err != nil {
			return err
		}
		for _, found := range calls {
			if err := f(found); err != nil {
				return err
			}
		}
		if len(calls) < eachPage {
			return nil
		}
		last := &calls[len(calls)-1]
		at, id = 0, last.ID
		if !last.StartedAt.IsZero() {
			// SQLite begins to look at the plain bound, not at the pair.
			filter.From, at = last.StartedAt, last.StartedAt.UnixMilli()
		}
	}
}

// Call returns everything known of one call, or a call.NotFound error. The id
// of a call that turned out to be part of another gives that one.
func (s *Store) Call(ctx context.Context, id string) (call.CallDetail, error) {
	for range 2 {
		calls, err := s.calls(ctx, conditions{[]string{"id = ?"}, []any{id}}, "", 1)
		if err != nil {
			return call.CallDetail{}, err
		}
		if len(calls) == 1 {
			return s.detail(ctx, calls)
		}
		err = s.read.QueryRowContext(ctx, s.dialect.bind("SELECT call_id FROM call_redirects WHERE id = ?"), cleanText(id)).Scan(&id)
		if errors.Is(err, sql.ErrNoRows) {
			break
		}
		if err != nil {
			return call.CallDetail{}, fmt.Errorf("find call: %w", err)
		}
	}
	return call.CallDetail{}, call.Errorf(call.NotFound, "there is no call with this id")
}

func (s *Store) detail(ctx context.Context, calls []call.CallWithRecordings) (call.CallDetail, error) {
	if err := s.addRecordings(ctx, calls); err != nil {
		return call.CallDetail{}, err
	}
	d := call.CallDetail{CallWithRecordings: calls[0]}
	err := s.each(ctx, "SELECT facts FROM legs WHERE call_id = ? ORDER BY leg_key", []any{d.ID}, func(rows *sql.Rows) error {
		var l call.Leg
		defer func() { d.Legs = append(d.Legs, l) }()
		return rows.Scan(jsonInto{&l})
	})
	if err != nil {
		return d, fmt.Errorf("read the legs of a call: %w", err)
	}
	slices.SortStableFunc(d.Legs, func(a, b call.Leg) int { return legStart(a).Compare(legStart(b)) })
	err = s.each(ctx, "SELECT "+deliveryColumns+" FROM deliveries WHERE id IN (SELECT i.delivery_id FROM delivery_items i JOIN legs l ON l.id = i.leg_id WHERE l.call_id = ?) ORDER BY id",
		[]any{d.ID}, func(rows *sql.Rows) error {
			delivery := call.Delivery{CallIDs: []string{d.ID}}
			defer func() { d.Deliveries = append(d.Deliveries, delivery) }()
			return scanDelivery(rows, &delivery)
		})
	if err != nil {
		return d, fmt.Errorf("read the deliveries of a call: %w", err)
	}
	return d, nil
}

func legStart(l call.Leg) time.Time {
	if l.StartedAt.IsZero() {
		return l.AnsweredAt
	}
	return l.StartedAt
}

// CountCalls counts the calls that the filter selects.
func (s *Store) CountCalls(ctx context.Context, f call.Filter) (n int64, err error) {
	c, err := s.matching(ctx, f)
	if err != nil {
		return 0, err
	}
	err = s.each(ctx, "SELECT count(*) FROM calls"+c.where(), c.args, func(rows *sql.Rows) error { return rows.Scan(&n) })
	if err != nil {
		return 0, fmt.Errorf("count calls: %w", err)
	}
	return n, nil
}
