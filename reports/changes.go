package reports

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"iter"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"

	"callvault/internal/call"
)

// This file says what changed between two frozen inputs of one period.

// Revises says which revision another one takes the place of, and what changed.
type Revises struct {
	// Revision, InputHash and AsOf are those of the earlier one.
	Revision  int       `json:"revision"`
	InputHash string    `json:"input_hash"`
	AsOf      time.Time `json:"as_of"`
	// Added, Changed and Gone count calls, Lines the input's lines that tell of
	// them.
	Added   int64 `json:"added"`
	Changed int64 `json:"changed"`
	Gone    int64 `json:"gone"`
	Lines   int64 `json:"lines"`
	// Before are the headline figures of the earlier revision; those of Mailed,
	// if it is not empty, are of the last one before it that was mailed to all.
	Before headlineValues `json:"before"`
	Mailed headlineValues `json:"mailed,omitempty"`
	// Rules says whose rules the revision goes by; empty where an older program
	// made one of the two.
	Rules rulesOf `json:"rules,omitempty"`
}

// rulesOf says whose rules a revision goes by.
type rulesOf string

const (
	rulesKept rulesOf = "kept" // those of the revision before
	rulesNew  rulesOf = "new"  // those configured when it was made
)

// The kinds of changes.
const (
	changeAdded   = "added"
	changeChanged = "changed"
	changeGone    = "taken away"
)

// callChange is a line of a frozen input: a call that the earlier revision does not
// have, or has and this one has not, or one field of a call that is otherwise.
type callChange struct {
	What           string         `json:"what"`
	ID             string         `json:"id"`
	Account        string         `json:"account"`
	Direction      call.Direction `json:"direction,omitempty"`
	StartedAt      int64          `json:"started_at,omitempty"`
	CustomerNumber string         `json:"customer_number,omitempty"`
	Agent          string         `json:"agent,omitempty"`
	Field          string         `json:"field,omitempty"`
	Before         string         `json:"before,omitempty"`
	After          string         `json:"after,omitempty"`
}

// changeLine is how a line of a change begins.
var changeLine = []byte(`{"change":`)

// factField is a field of a call that call reports tell.
type factField struct {
	title string
	text  func(*row, *time.Location) string
	// same is whether two calls have the same; their texts are the same then, too.
	same func(a, b *row) bool
	// named: configuration has a part in it. It alone makes no revision.
	named bool
}

// customerField is the field that holds a customer's number.
const customerField = "Customer"

// factFields are compared between revisions: neither recordings, which arrive
// later than reports of calls, nor what retention does.
func factFields() []factField {
	plain := func(title string, of func(*row) string) factField {
		return factField{title: title, text: func(r *row, _ *time.Location) string { return of(r) },
			same: func(a, b *row) bool { return of(a) == of(b) }}
	}
	moment := func(title string, of func(*row) int64) factField {
		return factField{title: title, same: func(a, b *row) bool { return of(a) == of(b) },
			text: func(r *row, zone *time.Location) string {
				if of(r) == 0 {
					return ""
				}
				return time.UnixMilli(of(r)).In(zone).Format(time.DateTime)
			}}
	}
	duration := func(title string, of func(*row) *int) factField {
		return factField{title: title,
			same: func(a, b *row) bool {
				x, y := of(a), of(b)
				return x == y || x != nil && y != nil && *x == *y
			},
			text: func(r *row, _ *time.Location) string {
				if s := of(r); s != nil {
					return clock(float64(*s))
				}
				return ""
			}}
	}
	group := plain("Group", func(r *row) string { return r.Group })
	group.named = true
	return []factField{
		moment("Started", func(r *row) int64 { return r.StartedAt }),
		moment("Answered", func(r *row) int64 { return r.AnsweredAt }),
		moment("Ended", func(r *row) int64 { return r.EndedAt }),
		plain("Direction", func(r *row) string { return string(r.Direction) }),
		plain("Outcome", func(r *row) string { return string(r.Outcome) }),
		plain("Provider's status", func(r *row) string { return r.Status }),
		plain(customerField, func(r *row) string { return r.CustomerNumber }),
		plain("Business number", func(r *row) string { return r.BusinessNumber }),
		{title: "Agent", named: true, same: func(a, b *row) bool { return a.Agent == b.Agent },
			text: func(r *row, _ *time.Location) string { return label(r.Agent) }},
		plain("Agent id", func(r *row) string { return r.Agent.ID }),
		plain("Agent number", func(r *row) string { return r.Agent.Number }),
		group,
		plain("Campaign", func(r *row) string { return r.Campaign }),
		duration("Wait", func(r *row) *int { return r.WaitSeconds }),
		duration("Talk", func(r *row) *int { return r.TalkSeconds }),
		duration("Total", func(r *row) *int { return r.TotalSeconds }),
		plain("Hangup cause", func(r *row) string { return r.HangupCause }),
		plain("Hung up by", func(r *row) string { return r.HangupBy }),
		plain("Cost", func(r *row) string { return r.Cost }),
		{title: "Rang unanswered", named: true, same: func(a, b *row) bool { return slices.Equal(a.Offers, b.Offers) },
			text: func(r *row, _ *time.Location) string { return r.offeredTo() }},
		plain("Legs", func(r *row) string { return strconv.Itoa(r.LegsCount) }),
		plain("Account", func(r *row) string { return r.Account }),
		plain("Call key", func(r *row) string { return r.Key }),
	}
}

// sameFacts reports whether call reports tell the same of a call; almost all calls
// are compared by it alone.
func (d *difference) sameFacts(a, b *row) bool {
	for i := range d.fields {
		if !d.fields[i].same(a, b) {
			return false
		}
	}
	return true
}

// clone copies a row, without its recordings.
func (r *row) clone() *row {
	c := *r
	c.Offers, c.Recordings = slices.Clone(r.Offers), nil
	for _, s := range []**int{&c.WaitSeconds, &c.TalkSeconds, &c.TotalSeconds} {
		if *s != nil {
			*s = new(**s)
		}
	}
	return &c
}

// errUnread ends the reading of an input of which no more is wanted.
var errUnread = errors.New("no more is wanted")

// rows are the calls of an input, in order. A row is valid until the next.
func (in *Input) rows(ctx context.Context) iter.Seq2[*row, error] {
	return func(yield func(*row, error) bool) {
		_, err := in.each(ctx, func(r *row) error {
			if !yield(r, nil) {
				return errUnread
			}
			return nil
		}, func(*missing) error { return nil })
		if err != nil && !errors.Is(err, errUnread) {
			yield(nil, err)
		}
	}
}

// eachPair calls visit with each call of two inputs as one and the other have
// it, nil where it has not. Calls are in order in both.
func eachPair(ctx context.Context, was, is *Input, visit func(was, is *row) error) error {
	nextWas, endWas := iter.Pull2(was.rows(ctx))
	defer endWas()
	nextIs, endIs := iter.Pull2(is.rows(ctx))
	defer endIs()
	a, errA, _ := nextWas()
	b, errB, _ := nextIs()
	for {
		if err := errors.Join(errA, errB); err != nil {
			return err
		}
		if a == nil && b == nil {
			return nil
		}
		order := compareRows(a, b)
		first, second := a, b
		if order > 0 {
			first = nil
		} else if order < 0 {
			second = nil
		}
		if err := visit(first, second); err != nil {
			return err
		}
		if order <= 0 {
			a, errA, _ = nextWas()
		}
		if order >= 0 {
			b, errB, _ = nextIs()
		}
	}
}

// compareRows is the order of a frozen input: by start, those without one last.
// None at all comes after every row.
func compareRows(a, b *row) int {
	start := func(r *row) int64 {
		if r.StartedAt == 0 {
			return math.MaxInt64
		}
		return r.StartedAt
	}
	switch {
	case a == nil:
		return 1
	case b == nil:
		return -1
	}
	return cmp.Or(cmp.Compare(start(a), start(b)), strings.Compare(a.ID, b.ID))
}

const (
	// maxMoved bounds the calls that are kept in memory to find those of them
	// that moved within the period: a report told another start. Beyond it a
	// call that moved is one taken away and one added.
	maxMoved = 10_000
	// fatesAtOnce is of how many calls it is asked at once what became of them.
	fatesAtOnce = 500
)

// difference is what changed between two inputs of a period.
type difference struct {
	was, is *Input
	fates   func(context.Context, []string) (map[string]call.CallFate, error)
	fields  []factField
	// added, changed and gone count calls, lines what write writes.
	added, changed, gone, lines int64
	// matters: more has changed than what configuration has a part in.
	matters bool
	// deleted: retention has deleted calls of the period.
	deleted bool
	// erased are calls that are otherwise because a number was erased, joined
	// those that became part of another.
	erased, joined map[string]bool
	// left and arrived are the calls that moved within the period, as they were
	// and as they are.
	left, arrived map[string]*row
	asking        []differing
}

// differing is a call of which it must be asked what became of it.
type differing struct {
	id string
	// gone: the later input does not have it.
	gone, matters bool
	lines         int64
}

// compareInputs finds what changed between two inputs, and asks fates what
// became of calls that did. What retention and erasure did is no change.
func compareInputs(ctx context.Context, was, is *Input, fates func(context.Context, []string) (map[string]call.CallFate, error)) (*difference, error) {
	d := &difference{was: was, is: is, fates: fates, fields: factFields(),
		erased: make(map[string]bool), joined: make(map[string]bool),
		left: make(map[string]*row), arrived: make(map[string]*row)}
	err := eachPair(ctx, was, is, func(was, is *row) error { return d.look(ctx, was, is) })
	if err == nil {
		err = d.settle(ctx)
	}
	if err != nil {
		return nil, err
	}
	d.pair()
	return d, nil
}

func (d *difference) look(ctx context.Context, was, is *row) error {
	switch {
	case was == nil:
		d.added, d.lines, d.matters = d.added+1, d.lines+1, true
		if len(d.arrived) < maxMoved {
			d.arrived[is.ID] = is.clone()
		}
		return nil
	case is == nil:
		if len(d.left) < maxMoved {
			d.left[was.ID] = was.clone()
		}
		return d.ask(ctx, differing{id: was.ID, gone: true, matters: true, lines: 1})
	case d.sameFacts(was, is):
		return nil
	}
	of := differing{id: was.ID}
	d.eachField(was, is, func(f factField, _, _ string) {
		of.lines++
		of.matters = of.matters || !f.named || nameless(was) && nameless(is)
	})
	if of.lines == 0 {
		return nil
	}
	return d.ask(ctx, of)
}

// nameless: of the call's agent, and of those who were rung, no more than a name
// is known, which is then what was reported.
func nameless(r *row) bool {
	known := func(a call.Agent) bool { return a.ID != "" || a.Number != "" }
	return !known(r.Agent) && !slices.ContainsFunc(r.Offers, known)
}

// eachField calls visit with each field in which a call differs.
func (d *difference) eachField(was, is *row, visit func(f factField, before, after string)) {
	for _, f := range d.fields {
		if before, after := f.text(was, d.is.zone), f.text(is, d.is.zone); before != after {
			visit(f, before, after)
		}
	}
}

// ask asks what became of a call, together with others.
func (d *difference) ask(ctx context.Context, of differing) error {
	d.asking = append(d.asking, of)
	if len(d.asking) < fatesAtOnce {
		return nil
	}
	return d.settle(ctx)
}

func (d *difference) settle(ctx context.Context) error {
	if len(d.asking) == 0 {
		return nil
	}
	ids := make([]string, len(d.asking))
	for i, of := range d.asking {
		ids[i] = of.id
	}
	fates, err := d.fates(ctx, ids)
	if err != nil {
		return err
	}
	for _, of := range d.asking {
		switch fate := fates[of.id]; {
		case fate == call.CallErased:
			d.erased[of.id] = true
			continue
		case fate == call.CallGone && of.gone:
			d.deleted = true
			continue
		case fate == call.CallJoined && of.gone:
			d.joined[of.id] = true
		}
		if of.gone {
			d.gone++
		} else {
			d.changed++
		}
		d.lines += of.lines
		d.matters = d.matters || of.matters
	}
	d.asking = d.asking[:0]
	return nil
}

// pair makes one change of calls that left one place and arrived at another.
func (d *difference) pair() {
	for id, is := range d.arrived {
		was := d.left[id]
		if was == nil || d.erased[id] {
			delete(d.arrived, id)
			continue
		}
		d.added, d.gone, d.changed, d.lines = d.added-1, d.gone-1, d.changed+1, d.lines-2
		d.eachField(was, is, func(factField, string, string) { d.lines++ })
	}
	for id := range d.left {
		if d.arrived[id] == nil {
			delete(d.left, id)
		}
	}
}

// write calls out with each change, in the order of the calls.
func (d *difference) write(ctx context.Context, out func(*callChange) error) error {
	return eachPair(ctx, d.was, d.is, func(was, is *row) error {
		switch {
		case is == nil:
			if d.left[was.ID] != nil || d.erased[was.ID] {
				return nil
			}
			c := changeOf(changeGone, was)
			c.Before, c.After = gist(was), "not of this report any more"
			if d.joined[was.ID] {
				c.After = "part of another call"
			}
			return out(c)
		case d.left[is.ID] != nil:
			was = d.left[is.ID]
		case was == nil:
			c := changeOf(changeAdded, is)
			c.After = gist(is)
			return out(c)
		case d.sameFacts(was, is) || d.erased[is.ID]:
			return nil
		}
		var err error
		d.eachField(was, is, func(f factField, before, after string) {
			c := changeOf(changeChanged, is)
			c.Field, c.Before, c.After = f.title, before, after
			err = errors.Join(err, out(c))
		})
		return err
	})
}

func changeOf(what string, r *row) *callChange {
	return &callChange{What: what, ID: r.ID, Account: r.Account, Direction: r.Direction, StartedAt: r.StartedAt,
		CustomerNumber: r.CustomerNumber, Agent: label(r.Agent)}
}

// gist is the most important of a call.
func gist(r *row) string {
	if r.TalkSeconds == nil {
		return string(r.Outcome)
	}
	return string(r.Outcome) + ", talk " + clock(float64(*r.TalkSeconds))
}

// eachChange calls fn with each change that an input tells of, in order.
func (in *Input) eachChange(ctx context.Context, fn func(*callChange) error) error {
	return in.lines(ctx, func(raw []byte) error {
		if !bytes.HasPrefix(raw, changeLine) {
			return nil
		}
		var l line
		if err := json.Unmarshal(raw, &l); err != nil {
			return err
		}
		in.maskChange(l.Change)
		return fn(l.Change)
	})
}
