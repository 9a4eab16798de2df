package reports

import "context"

// changes is the sheet of what a revision changed: the headline figures first,
// then the calls.
func (b *book) changes(ctx context.Context) {
	v := b.in.Settings.Revises
	if v == nil {
		return
	}
	addList(ctx, b, list[changed]{
		sheet: "Changes", records: changeRecords(b.styles, b.in, b.figures),
		rows: int64(len(b.figures.movedFigures(v.Before))) + v.Lines, none: "Nothing.", frozen: 1,
	})
}

// changed is a figure or a call that a revision changed; exactly one is set.
type changed struct {
	figure *movedFigure
	call   *callChange
}

// changeRecords are what a revision changed; none of a first one.
func changeRecords(st *styles, in *Input, f *Figures) records[changed] {
	// ofCall are the columns that are empty for a figure.
	ofCall := func(title, name string, width float64, of func(*callChange) string) column[changed] {
		return textColumn(st, title, name, width, func(v changed) string {
			if v.call == nil {
				return ""
			}
			return of(v.call)
		})
	}
	// value is a figure in the sheet. For other programs it is a text, as are the
	// fields of calls, which are of many kinds.
	value := func(title, name string, figure func(*movedFigure) float64, of func(*callChange) string) column[changed] {
		text := func(v changed) string {
			if v.figure != nil {
				return csvFigure(figure(v.figure), v.figure.unit)
			}
			return of(v.call)
		}
		c := textColumn(st, title, name, 26, text)
		c.cell = func(c *cells, v changed) {
			if v.figure != nil {
				c.figure(figure(v.figure), v.figure.unit, st)
				return
			}
			c.text(of(v.call), st.text)
		}
		return c
	}
	columns := []column[changed]{
		textColumn(st, "What", "what", 12, func(v changed) string {
			if v.figure != nil {
				return "figure"
			}
			return v.call.What
		}),
		momentColumn(st, in.zone, "Call started", "started_at", func(v changed) int64 {
			if v.call == nil {
				return 0
			}
			return v.call.StartedAt
		}),
		ofCall("Direction", "direction", 11, func(c *callChange) string { return string(c.Direction) }),
		ofCall("Customer", "customer_number", 17, func(c *callChange) string { return c.CustomerNumber }),
		ofCall("Agent", "agent_name", 20, func(c *callChange) string { return c.Agent }),
		ofCall("Account", "account", 14, func(c *callChange) string { return c.Account }),
		textColumn(st, "Figure or field", "field", 30, func(v changed) string {
			if v.figure != nil {
				return v.figure.label
			}
			return v.call.Field
		}),
		textColumn(st, "", "unit", 0, func(v changed) string {
			if v.figure != nil {
				return string(v.figure.unit)
			}
			return ""
		}),
		value("Before", "before", func(f *movedFigure) float64 { return f.before }, func(c *callChange) string { return c.Before }),
		value("Now", "now", func(f *movedFigure) float64 { return f.is }, func(c *callChange) string { return c.After }),
		callColumn(st, in.Settings.PublicURL, func(v changed) string {
			if v.call == nil {
				return ""
			}
			return v.call.ID
		}),
	}
	return records[changed]{columns, changed{call: new(callChange)}, func(ctx context.Context, fn func(changed) error) error {
		if in.Settings.Revises == nil {
			return nil
		}
		moved := f.movedFigures(in.Settings.Revises.Before)
		for i := range moved {
			if err := fn(changed{figure: &moved[i]}); err != nil {
				return err
			}
		}
		return in.eachChange(ctx, func(c *callChange) error { return fn(changed{call: c}) })
	}}
}
