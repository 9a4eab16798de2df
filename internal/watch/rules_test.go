package watch

import (
	"context"
	"strings"
	"testing"
	"time"

	"callvault/internal/call"
)

var noon = time.Date(2026, 11, 20, 12, 0, 0, 0, time.UTC)

// answered are n calls, the newest first: the last of them ended at end, and
// one a minute before it. Of the first recorded of every of, a recording was
// archived after delay.
func answered(n int, end time.Time, recorded, of int, delay time.Duration) []call.AnsweredCall {
	calls := make([]call.AnsweredCall, n)
	for i := range calls {
		calls[i].EndedAt = end.Add(-time.Duration(i) * time.Minute)
		if i%of < recorded {
			calls[i].Named, calls[i].Archived, calls[i].ArchivedAt = true, true, calls[i].EndedAt.Add(delay)
		}
	}
	return calls
}

func named(calls []call.AnsweredCall) []call.AnsweredCall {
	for i := range calls {
		calls[i].Named = true
	}
	return calls
}

func TestRecordingsThatStayAway(t *testing.T) {
	t.Parallel()
	yesterday, old := noon.Add(-25*time.Hour), noon.Add(-2*time.Hour)
	for _, tt := range []struct {
		name            string
		recent, earlier []call.AnsweredCall
		want            state
		says            string
	}{
		{"all is well", answered(50, old, 1, 1, time.Minute), answered(500, yesterday, 1, 1, time.Minute), well, "come again"},
		{"one of the last has one", answered(50, old, 1, 50, time.Minute), answered(500, yesterday, 1, 1, time.Minute), well, "come again"},
		{"none any more", answered(50, old, 0, 1, 0), answered(500, yesterday, 1, 1, time.Minute), bad, "None of the last 50 answered calls"},
		{"none is named", answered(20, old, 0, 1, 0), answered(500, yesterday, 1, 1, time.Minute), bad, "named a recording for none"},
		{"all are named, none is fetched", named(answered(20, old, 0, 1, 0)), answered(500, yesterday, 1, 1, time.Minute), bad, "named a recording for 20"},
		{"too few calls to tell", answered(19, old, 0, 1, 0), answered(500, yesterday, 1, 1, time.Minute), unclear, ""},
		{"calls too new to have one", answered(40, noon, 0, 1, 0), answered(500, yesterday, 1, 1, time.Minute), unclear, ""},
		{"a provider that takes four hours", answered(100, noon.Add(-5*time.Hour), 0, 1, 0), answered(500, yesterday, 1, 1, 4*time.Hour), unclear, ""},
		{"and now twice as long", answered(100, noon.Add(-8*time.Hour), 0, 1, 0), answered(500, yesterday, 1, 1, 4*time.Hour), bad, ""},
		{"half of the calls have one", answered(20, old, 0, 1, 0), answered(500, yesterday, 1, 2, time.Minute), bad, ""},
		{"few calls have one: it may be chance", answered(50, old, 0, 1, 0), answered(500, yesterday, 1, 10, time.Minute), unclear, ""},
		{"no call ever had one", answered(50, old, 0, 1, 0), answered(500, yesterday, 0, 1, 0), unclear, ""},
		{"a new account", answered(20, old, 0, 1, 0), nil, bad, ""},
		{"no calls at all", nil, answered(500, yesterday, 1, 1, time.Minute), unclear, ""},
	} {
		v := judgeAnswered(&Account{Name: "sales"}, tt.recent, tt.earlier, noon)
		if v.state != tt.want || !strings.Contains(v.sentence, tt.says) {
			t.Errorf("%s: %+v", tt.name, v)
		}
	}
}

func TestUnreadable(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		unreadable, rest int64
		want             state
	}{
		{0, 0, unclear}, {9, 0, unclear}, {10, 0, bad}, {10, 10, bad}, {10, 11, unclear}, {1, 8, unclear}, {1, 9, well}, {0, 1, well}, {100, 900, well},
	} {
		v := judgeUnreadable(map[call.DeliveryOutcome]int64{call.Unreadable: tt.unreadable, call.Recorded: tt.rest}, noon)
		if v.state != tt.want || (v.sentence == "") != (tt.want == unclear) {
			t.Errorf("%d unreadable and %d others: %+v", tt.unreadable, tt.rest, v)
		}
	}
}

func TestPause(t *testing.T) {
	t.Parallel()
	if v := judgePause("the secret is wrong", true, true, noon); v.state != bad || !strings.Contains(v.sentence, "the secret is wrong") {
		t.Errorf("paused: %+v", v)
	}
	if v := judgePause("", false, false, noon); v.state != unclear {
		t.Errorf("not paused any more: %+v", v)
	}
	if v := judgePause("", false, true, noon); v.state != well {
		t.Errorf("not paused for a while: %+v", v)
	}
}

// calls are those of an account, the newest first, as a store has them.
type calls struct {
	Store
	list []call.AnsweredCall
}

func (c calls) AnsweredCalls(_ context.Context, _ string, from, to time.Time, limit int) (found []call.AnsweredCall, _ error) {
	for _, a := range c.list {
		if !a.EndedAt.Before(from) && a.EndedAt.Before(to) && len(found) < limit {
			found = append(found, a)
		}
	}
	return found, nil
}

// spread are n calls, the last of them just over, one every so often; those
// that are older than withoutFor have a recording.
func spread(n int, every, withoutFor time.Duration) calls {
	list := make([]call.AnsweredCall, n)
	for i := range list {
		age := time.Duration(i) * every
		list[i].EndedAt = noon.Add(-age - time.Second)
		if age > withoutFor {
			list[i].Named, list[i].Archived, list[i].ArchivedAt = true, true, list[i].EndedAt.Add(10*time.Minute)
		}
	}
	return calls{list: list}
}

// TestRecordingsOfAnyAccount: recordings are missed where so many calls come
// that the last hundreds are too young to have one, and where few come.
func TestRecordingsOfAnyAccount(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name  string
		calls calls
		told  bool
		want  state
	}{
		{"busy, and all is well", spread(40_000, 5*time.Second, 10*time.Minute), false, well},
		{"busy, and none for three hours", spread(40_000, 5*time.Second, 3*time.Hour), false, bad},
		{"told already", spread(40_000, 5*time.Second, 3*time.Hour), true, unclear},
		{"told, and all is well", spread(40_000, 5*time.Second, 10*time.Minute), true, well},
		{"few, and all is well", spread(80, 7*time.Hour, time.Hour), false, well},
		{"few, and none for a week", spread(80, 7*time.Hour, 8*24*time.Hour), false, bad},
		{"few, and none for a day", spread(80, 7*time.Hour, 24*time.Hour), false, well},
	} {
		w := &Watcher{o: Options{Store: tt.calls}}
		if v, err := w.judgeRecordings(t.Context(), &Account{Name: "sales"}, noon, tt.told); v.state != tt.want || err != nil {
			t.Errorf("%s: %+v, %v", tt.name, v, err)
		}
	}
}
