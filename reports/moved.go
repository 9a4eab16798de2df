package reports

import (
	"math"
	"strconv"
)

// This file says by how much a revision moves the figures that people look at
// first.

// headlineValues are headline figures by direction and name; nil is n/a.
type headlineValues map[string]*float64

// movable are the headline figures by which a revision is judged, of inbound,
// outbound or all calls. Customers to call back are none of them: they become
// fewer by themselves.
func (f *Figures) movable() []measureLine {
	wanted := []struct {
		name string
		of   int
	}{
		{"calls", 0}, {"answered", 0}, {"missed", 0}, {"abandoned", 0}, {"answer_rate", 0}, {"abandonment_rate", 0},
		{"service_level", 0}, {"asa", 0}, {"aht", 2}, {"calls", 1}, {"connect_rate", 1},
	}
	all := f.measures()
	var lines []measureLine
	for _, w := range wanted {
		for _, l := range all {
			if l.name == w.name && l.has[w.of] {
				l.name = [...]string{"inbound", "outbound", "total"}[w.of] + " " + l.name
				l.values[0] = l.values[w.of]
				if w.of == 1 && w.name == "calls" {
					l.label = "Outbound calls"
				}
				if w.of == 0 && w.name == "calls" {
					l.label = "Inbound calls offered"
				}
				lines = append(lines, l)
			}
		}
	}
	return lines
}

func (f *Figures) headlineValues() headlineValues {
	values := make(headlineValues)
	for _, l := range f.movable() {
		values[l.name] = nil
		if v := l.values[0]; !math.IsNaN(v) {
			values[l.name] = &v
		}
	}
	return values
}

// moved reports whether a headline figure is now more than a share of it away
// from what it was. A negative share: no figure is. What was 0 or n/a and is not
// any more has moved.
func (f *Figures) moved(was headlineValues, share float64) bool {
	if share < 0 {
		return false
	}
	for name, is := range f.headlineValues() {
		before := was[name]
		switch {
		case before == nil || is == nil:
			if before != is {
				return true
			}
		case *before == *is:
		case *before == 0 || math.Abs(*is-*before) > share*math.Abs(*before):
			return true
		}
	}
	return false
}

// movedFigure is a headline figure that is not what it was.
type movedFigure struct {
	label      string
	unit       unit
	before, is float64
}

// movedFigures are the headline figures that are not what they were.
func (f *Figures) movedFigures(was headlineValues) []movedFigure {
	var moved []movedFigure
	for _, l := range f.movable() {
		before := math.NaN()
		if v := was[l.name]; v != nil {
			before = *v
		}
		is := l.values[0]
		if before != is && !(math.IsNaN(before) && math.IsNaN(is)) {
			moved = append(moved, movedFigure{l.label, l.unit, before, is})
		}
	}
	return moved
}

// revised says for people what a revision changed; nothing of a first one.
func (f *Figures) revised() []string {
	v := f.Settings.Revises
	if v == nil {
		return nil
	}
	list := []string{"Revised: since revision " + strconv.Itoa(v.Revision) + " (as of " +
		v.AsOf.In(f.Period.From.Location()).Format("2006-01-02 15:04") + ") " +
		plural(v.Added, "call") + " added, " + count(v.Changed) + " changed, " + count(v.Gone) + " taken away (sheet Changes)"}
	if v.Rules == rulesNew {
		list = append(list, "It was revised by hand, by the agents, groups, match, thresholds and permitted hours that were configured then: all may count otherwise")
	}
	// Who reads this has the figures of the last mail, not those of a revision
	// that was only kept.
	was, when := v.Before, " before, "
	if len(v.Mailed) > 0 {
		was, when = v.Mailed, " in the last mail, "
	}
	for _, m := range f.movedFigures(was) {
		list = append(list, m.label+": "+forPeople(m.before, m.unit)+when+forPeople(m.is, m.unit)+" now")
	}
	return list
}
