package reports

import (
	"context"
	"math"
	"strconv"
)

// changes is the sheet of what a revision changed: the headline figures first,
// then the calls.
func (b *book) changes(ctx context.Context) {
	v := b.in.Settings.Revises
	if v == nil {
		return
	}
	moved := b.figures.movedFigures(v.Before)
	addList(ctx, b, list[changed]{
		sheet: "Changes", columns: changeColumns(b.styles, b.in.Settings.PublicURL),
		rows: int64(len(moved)) + v.Lines, none: "Nothing.", frozen: 1,
		each: func(ctx context.Context, fn func(changed) error) error {
			for i := range moved {
				if err := fn(changed{figure: &moved[i]}); err != nil {
					return err
				}
			}
			return b.in.eachChange(ctx, func(c *callChange) error { return fn(changed{call: c}) })
		},
	})
}

// changed is a figure or a call that a revision changed; exactly one is set.
type changed struct {
	figure *movedFigure
	call   *callChange
}

func changeColumns(st *styles, publicURL string) []column[changed] {
	text := func(title string, width float64, of func(*callChange) string) column[changed] {
		return column[changed]{title: title, width: width, cell: func(c *cells, v changed) {
			if v.call == nil {
				c.blank()
				return
			}
			c.text(of(v.call), st.text)
		}}
	}
	value := func(title string, figure func(*movedFigure) float64, of func(*callChange) string) column[changed] {
		return column[changed]{title: title, width: 26, cell: func(c *cells, v changed) {
			if v.call != nil {
				c.text(of(v.call), st.text)
				return
			}
			c.figure(figure(v.figure), v.figure.unit, st)
		}}
	}
	return []column[changed]{
		{title: "What", width: 12, cell: func(c *cells, v changed) {
			if v.figure != nil {
				c.text("figure", st.text)
				return
			}
			c.text(v.call.What, st.text)
		}},
		{title: "Call started", width: 19, cell: func(c *cells, v changed) {
			if v.call == nil {
				c.blank()
				return
			}
			c.time(v.call.StartedAt, st.moment)
		}},
		text("Direction", 11, func(c *callChange) string { return string(c.Direction) }),
		text("Customer", 17, func(c *callChange) string { return c.CustomerNumber }),
		text("Agent", 20, func(c *callChange) string { return c.Agent }),
		text("Account", 14, func(c *callChange) string { return c.Account }),
		{title: "Figure or field", width: 30, cell: func(c *cells, v changed) {
			if v.figure != nil {
				c.text(v.figure.label, st.text)
				return
			}
			c.text(v.call.Field, st.text)
		}},
		value("Before", func(f *movedFigure) float64 { return f.before }, func(c *callChange) string { return c.Before }),
		value("Now", func(f *movedFigure) float64 { return f.is }, func(c *callChange) string { return c.After }),
		{title: "Call", width: 38, cell: func(c *cells, v changed) {
			switch {
			case v.call == nil:
				c.blank()
			case publicURL == "":
				c.text(v.call.ID, st.text)
			default:
				c.link(publicURL+"/calls/"+v.call.ID, v.call.ID, st.link)
			}
		}},
	}
}

// figure writes a figure of a unit; Excel counts time in days.
func (c *cells) figure(v float64, u unit, st *styles) {
	if math.IsNaN(v) {
		c.text(notAvailable, st.notAvailable)
		return
	}
	if u == seconds {
		v /= 86400
	}
	c.number(strconv.FormatFloat(v, 'f', -1, 64), st.of(u), st.text)
}
