package store

import (
	"context"
	"database/sql"
	"encoding/json"
	"fmt"
	"slices"
	"time"

	"callvault/internal/call"
)

// recordLive takes in live events, and ends the live calls whose report has
// come. The true start that an event tells belongs to the call: it is filled
// into a leg, whichever of the two arrives first.
func (r *recorder) recordLive(ctx context.Context, fresh []int) error {
	about, events := r.aboutLive(), r.liveEvents(fresh)
	keys := make([]callKey, 0, len(about)+len(events))
	for k := range about {
		keys = append(keys, k)
	}
	for k := range events {
		if about[k] == nil {
			keys = append(keys, k)
		}
	}
	if len(keys) == 0 {
		return nil
	}
	slices.SortFunc(keys, func(a, b callKey) int { return compareLinks(linkRow{callKey: a}, linkRow{callKey: b}) })
	if err := r.loadLive(ctx, keys); err != nil {
		return err
	}
	if err := r.loadReported(ctx, keys, events, about); err != nil {
		return err
	}
	var ended []callKey
	var current []liveState
	for _, k := range keys {
		state, known := r.live[k]
		for _, e := range events[k] {
			e.Outcome = call.Duplicate
			if state.take(k, e.Live, e.delivery) {
				e.Outcome = call.Recorded
			}
			known = true
		}
		l := about[k]
		told := l != nil && !r.knowsStart(l, state.start) && l.fillStart(state.start)
		if told {
			r.noteTold(fresh, l, state.startBy)
		}
		switch {
		case !known:
		case l != nil && r.isReported(l, state.Direction):
			ended = append(ended, k)
			for _, e := range events[k] {
				// Nothing lives any more: only the true start was news.
				if e.Outcome = call.Duplicate; told {
					e.Outcome = call.Recorded
				}
			}
		case len(events[k]) > 0:
			current = append(current, state)
		}
	}
	if r.isReplay {
		current = nil // what is told again is not happening now
	}
	return r.writeLive(ctx, current, ended)
}

// knowsStart reports whether an event that is read again told its start to any
// leg of the call: which one that was depends on what had come by then.
func (r *recorder) knowsStart(l *leg, start time.Time) bool {
	if !r.isReplay {
		return false
	}
	for _, m := range r.state(l.callID).legs {
		if !m.LiveFrom.IsZero() && !start.Before(m.LiveFrom) {
			return true
		}
	}
	return false
}

// fillStart gives a leg the true start that a live event told, and says
// whether that was news.
func (l *leg) fillStart(start time.Time) bool {
	if start.IsZero() || !l.LiveFrom.IsZero() && !start.Before(l.LiveFrom) {
		return false
	}
	l.LiveFrom, l.changed, l.json = start, true, ""
	return true
}

// toldStart is since when a leg's call rang, as it was told when an item came, and
// the delivery whose event tells it; zero of most items.
type toldStart struct {
	legID int64
	from  int64 // Unix milliseconds
	by    int64
}

// noteTold remembers with which item it became known since when the leg's call
// rang: with the leg's report or the event, whichever came last. by is the event's
// delivery.
func (r *recorder) noteTold(fresh []int, l *leg, by int64) {
	var last *call.Item
	isReported, isTold := false, false
	for at, i := range fresh {
		for n := range r.stored[i].Items {
			it := &r.stored[i].Items[n]
			switch {
			case !isReported && r.itemLegs[i][n] == l:
				last, isReported = it, true
			case !isTold && it.Live != nil && r.deliveryID(fresh, at) == by:
				last, isTold = it, true
			}
		}
	}
	if last != nil {
		r.told[last] = toldStart{l.id, l.LiveFrom.UnixMilli(), by}
	}
}

// deliveryID is the id that a fresh delivery has, or is about to get.
func (r *recorder) deliveryID(fresh []int, at int) int64 {
	if r.isReplay {
		return r.stored[fresh[at]].ID
	}
	return r.deliveryIDs[at]
}

// aboutLive are the keys under which the changed legs may be live, with one leg
// of each.
func (r *recorder) aboutLive() map[callKey]*leg {
	about := map[callKey]*leg{}
	for _, l := range r.legs {
		if !l.changed {
			continue
		}
		noteFirst(about, l.callKey(), l)
		if l.isMoving() {
			noteFirst(about, l.was, l) // the events may have known no better either
		}
	}
	return about
}

func noteFirst(about map[callKey]*leg, k callKey, l *leg) {
	if first := about[k]; first == nil || l.Key < first.Key {
		about[k] = l
	}
}

// liveEvent is a live event of the batch, with the id of its delivery.
type liveEvent struct {
	*call.Item
	delivery int64
}

// liveEvents are the live events of the batch, by the key of their call.
func (r *recorder) liveEvents(fresh []int) map[callKey][]liveEvent {
	events := map[callKey][]liveEvent{}
	for at, i := range fresh {
		for n := range r.stored[i].Items {
			if it := &r.stored[i].Items[n]; it.Live != nil {
				k := callKey{it.Live.Account, it.Live.Key.Kind, it.Live.Key.Value}
				events[k] = append(events[k], liveEvent{it, r.deliveryID(fresh, at)})
			}
		}
	}
	return events
}

// isReported says whether the reports of the call of l speak of its end: an
// agent who was rung in vain does not end a call. live is the direction that
// the events tell, which know of the guest before the reports do.
func (r *recorder) isReported(l *leg, live call.Direction) bool {
	for _, m := range r.state(l.callID).legs {
		if m.TellsEnd(live) {
			return true
		}
	}
	return false
}

func earlier(a, b time.Time) time.Time {
	if a.IsZero() || b.Before(a) {
		return b
	}
	return a
}

// liveState is a live call, the legs that it is made of, and the true start of
// its ringing, if told.
type liveState struct {
	call.LiveCall
	legs  []call.LiveLeg
	start time.Time
	// startBy is the delivery that told start; 0: not known.
	startBy int64
}

// maxLiveLegs bounds the legs of one live call. A hunt may ring many agents in
// vain; of those who are rung no more, the first are forgotten.
const maxLiveLegs = 100

// take joins an event into the state and says whether it told anything new.
func (s *liveState) take(k callKey, e *call.LiveCall, delivery int64) (news bool) {
	told := e.Leg()
	i := slices.IndexFunc(s.legs, func(l call.LiveLeg) bool { return l.Key == told.Key })
	if i < 0 {
		if len(s.legs) >= maxLiveLegs {
			at := slices.IndexFunc(s.legs, func(l call.LiveLeg) bool { return l.Side == call.SideB && l.State == call.HungUp })
			if at < 0 {
				return false
			}
			s.legs = slices.Delete(s.legs, at, at+1)
		}
		s.legs, news = append(s.legs, told), true
	} else {
		before := s.legs[i]
		s.legs[i].Fill(told)
		news = s.legs[i] != before
	}
	if e.IsStart && !e.At.IsZero() {
		if start := earlier(s.start, e.At); !start.Equal(s.start) {
			news, s.start, s.startBy = true, start, delivery
		}
	}
	s.LiveCall = call.MergeLive(s.legs)
	s.Account, s.Key = k.account, call.Key{Kind: k.kind, Value: k.value}
	return news
}

const liveColumns = `account, kind, value, direction, state, customer_number, business_number,
	agent_id, agent_name, agent_number, group_name, since, at, state_since`

func scanLive(rows row, s *liveState, more ...any) error {
	return rows.Scan(append([]any{&s.Account, &s.Key.Kind, &s.Key.Value, &s.Direction, &s.State, &s.CustomerNumber, &s.BusinessNumber,
		&s.Agent.ID, &s.Agent.Name, &s.Agent.Number, &s.Group, timeInto{&s.Since}, timeInto{&s.At}, timeInto{&s.StateSince}}, more...)...)
}

// askLive asks for the live calls of the keys, as far as they were not looked
// for yet. They are known after the next flush.
func (r *recorder) askLive(ctx context.Context, keys []callKey) error {
	return selectMany(ctx, r.tx, "read live calls", "SELECT "+liveColumns+", start_seen, coalesce(start_by, 0), legs FROM live_calls WHERE (account, kind, value) IN ({rows})", "ttt",
		notRead(r.liveRead, keys), func(k callKey, args []any) []any { return append(args, k.account, string(k.kind), k.value) },
		func(rows row) error {
			var s liveState
			if err := scanLive(rows, &s, timeInto{&s.start}, &s.startBy, jsonInto{&s.legs}); err != nil {
				return err
			}
			r.live[callKey{s.Account, s.Key.Kind, s.Key.Value}] = s
			return nil
		})
}

func (r *recorder) loadLive(ctx context.Context, keys []callKey) error {
	if err := r.askLive(ctx, keys); err != nil {
		return err
	}
	return r.tx.flush(ctx)
}

// loadReported finds for events that come late the calls that are reported
// already, and a leg of each for what the event tells.
func (r *recorder) loadReported(ctx context.Context, keys []callKey, events map[callKey][]liveEvent, about map[callKey]*leg) error {
	var late []callKey
	for _, k := range keys {
		if about[k] == nil && len(events[k]) > 0 {
			late = append(late, k)
		}
	}
	if len(late) == 0 {
		return nil
	}
	if err := r.loadKeys(ctx, late); err != nil {
		return err
	}
	var ids []string
	for _, k := range late {
		if id, ok := r.keys[k]; ok {
			ids = append(ids, id)
		}
	}
	if err := r.loadCalls(ctx, ids); err != nil {
		return err
	}
	for _, k := range late {
		id, ok := r.keys[k]
		if !ok {
			continue
		}
		for _, l := range r.state(id).legs {
			noteFirst(about, k, l)
		}
	}
	return nil
}

func (r *recorder) writeLive(ctx context.Context, current []liveState, ended []callKey) error {
	now := r.now.UnixMilli()
	err := insertMany(ctx, r.tx, "write live calls", "INSERT INTO live_calls ("+liveColumns+", start_seen, start_by, updated_at, legs)", "ttttttttttt"+"iiiiii"+"t",
		` ON CONFLICT (account, kind, value) DO UPDATE SET direction = excluded.direction, state = excluded.state,
		customer_number = excluded.customer_number, business_number = excluded.business_number,
		agent_id = excluded.agent_id, agent_name = excluded.agent_name, agent_number = excluded.agent_number,
		group_name = excluded.group_name, since = excluded.since, at = excluded.at, state_since = excluded.state_since,
		start_seen = excluded.start_seen, start_by = excluded.start_by, updated_at = excluded.updated_at, legs = excluded.legs`, current,
		func(s liveState, args []any) []any {
			legs, err := json.Marshal(s.legs)
			if err != nil { // texts and times of a provider's clock always marshal
				legs = nil
			}
			return append(args, s.Account, string(s.Key.Kind), s.Key.Value, string(s.Direction), string(s.State),
				s.CustomerNumber, s.BusinessNumber, s.Agent.ID, s.Agent.Name, s.Agent.Number, s.Group,
				millis(s.Since), millis(s.At), millis(s.StateSince), millis(s.start), s.startBy, now, string(legs))
		})
	if err != nil {
		return err
	}
	err = inChunks(ended, func(chunk []callKey) error {
		args := make([]any, 0, 3*len(chunk))
		for _, k := range chunk {
			args = append(args, k.account, string(k.kind), k.value)
		}
		return r.tx.exec(ctx, "DELETE FROM live_calls WHERE (account, kind, value) IN (VALUES "+tuples(len(chunk), 3)+")", args...)
	})
	if err != nil {
		return fmt.Errorf("end live calls: %w", err)
	}
	return nil
}

// LiveCalls returns the calls in progress that were heard of within maxAge,
// oldest first. Calls that hung up are left out.
func (s *Store) LiveCalls(ctx context.Context, maxAge time.Duration) ([]call.LiveCall, error) {
	var found []call.LiveCall
	err := s.each(ctx, "SELECT "+liveColumns+" FROM live_calls WHERE updated_at > {now} - ? AND state <> ? ORDER BY since, account, kind, value",
		[]any{maxAge.Milliseconds(), string(call.HungUp)}, func(rows *sql.Rows) error {
			var l liveState
			if err := scanLive(rows, &l); err != nil {
				return err
			}
			found = append(found, l.LiveCall)
			return nil
		})
	if err != nil {
		return nil, fmt.Errorf("read live calls: %w", err)
	}
	return found, nil
}

// ForgetLiveCalls deletes live calls that nothing was heard of for maxAge: no
// report came. It returns how many.
func (s *Store) ForgetLiveCalls(ctx context.Context, maxAge time.Duration) (n int64, err error) {
	n, err = s.update(ctx, "DELETE FROM live_calls WHERE updated_at <= {now} - ?", maxAge.Milliseconds())
	if err != nil {
		return 0, fmt.Errorf("forget live calls: %w", err)
	}
	return n, nil
}
