package store

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"encoding/json"
	"fmt"
	"strings"
	"time"
)

// Statements over many rows come in a few sizes only, so that each text is
// prepared once and used again.
var chunkSizes = [...]int{32, 16, 8, 4, 2, 1}

// inChunks calls f with ever the largest chunk of rows that has one of the
// sizes.
func inChunks[T any](rows []T, f func([]T) error) error {
	for len(rows) > 0 {
		for _, n := range chunkSizes {
			if len(rows) >= n {
				if err := f(rows[:n]); err != nil {
					return err
				}
				rows = rows[n:]
				break
			}
		}
	}
	return nil
}

// tuples is "(?,?),(?,?)" for n rows of width columns.
func tuples(n, width int) string {
	row := "(?" + strings.Repeat(",?", width-1) + ")"
	return row + strings.Repeat(","+row, n-1)
}

// insertMany runs "INSERT … {rows} …" for all rows; head ends before the rows,
// tail follows them. types has a letter for each column: t is text, i an
// integer, b bytes. what it does is said in its error.
//
// SQLite gets the rows as VALUES. PostgreSQL gets one array for each column:
// its statement is the same for any number of rows, so it is parsed and planned
// once.
func insertMany[T any](ctx context.Context, t *tx, what, head, types, tail string, rows []T, args func(T, []any) []any) error {
	if len(rows) == 0 {
		return nil
	}
	width := len(types)
	if t.pg == nil {
		return inChunks(rows, func(chunk []T) error {
			values := make([]any, 0, len(chunk)*width)
			for _, r := range chunk {
				values = args(r, values)
			}
			return t.later(ctx, statement{what: what, query: head + " VALUES " + tuples(len(chunk), width) + tail, args: values})
		})
	}
	columns, err := columnsOf(types, rows, args)
	if err != nil {
		return fmt.Errorf("%s: %w", what, err)
	}
	return t.later(ctx, statement{what: what, query: head + " " + columns.unnest() + tail, args: columns.arrays()})
}

// upsertMany is insertMany for rows of which some are known to be new. Those are
// inserted without tail, which says what happens to a row that is there already:
// to look for one first is a fifth of what PostgreSQL does for such a row.
func upsertMany[T any](ctx context.Context, t *tx, what, head, types, tail string, rows []T, isNew func(T) bool, args func(T, []any) []any) error {
	fresh, known := make([]T, 0, len(rows)), []T(nil)
	for _, r := range rows {
		if isNew(r) {
			fresh = append(fresh, r)
		} else {
			known = append(known, r)
		}
	}
	if err := insertMany(ctx, t, what, head, types, "", fresh, args); err != nil {
		return err
	}
	return insertMany(ctx, t, what, head, types, tail, known, args)
}

// selectMany runs a statement whose text holds {rows} where the tuples of keys
// belong; types has a letter for each of a tuple's values, as of insertMany.
// The rows have been scanned after the next flush.
func selectMany[T any](ctx context.Context, t *tx, what, query, types string, keys []T, args func(T, []any) []any, scan func(row) error) error {
	if len(keys) == 0 {
		return nil
	}
	if t.pg != nil {
		columns, err := columnsOf(types, keys, args)
		if err != nil {
			return fmt.Errorf("%s: %w", what, err)
		}
		return t.later(ctx, statement{what: what, query: strings.Replace(query, "{rows}", columns.unnest(), 1), args: columns.arrays(), scan: scan})
	}
	width := len(types)
	for len(keys) > 0 {
		chunk := keys[:min(len(keys), chunkSizes[0])]
		keys = keys[len(chunk):]
		size := chunkSizes[0]
		for _, n := range chunkSizes {
			if n >= len(chunk) {
				size = n
			}
		}
		values := make([]any, 0, size*width)
		for _, k := range chunk {
			values = args(k, values)
		}
		// To be asked for a key twice changes no answer.
		for range size - len(chunk) {
			values = args(chunk[len(chunk)-1], values)
		}
		err := t.later(ctx, statement{what: what, query: strings.Replace(query, "{rows}", "VALUES "+tuples(size, width), 1), args: values, scan: scan})
		if err != nil {
			return err
		}
	}
	return nil
}

// columns collects rows as one array for each column.
type columns struct {
	types string
	texts [][]string
	ints  [][]*int64
	bytes [][][]byte
}

func columnsOf[T any](types string, rows []T, args func(T, []any) []any) (*columns, error) {
	c := newColumns(types, len(rows))
	values := make([]any, 0, len(types))
	for _, r := range rows {
		values = args(r, values[:0])
		if err := c.add(values); err != nil {
			return nil, err
		}
	}
	return c, nil
}

func newColumns(types string, rows int) *columns {
	c := &columns{types, make([][]string, len(types)), make([][]*int64, len(types)), make([][][]byte, len(types))}
	for i := range types {
		switch types[i] {
		case 't':
			c.texts[i] = make([]string, 0, rows)
		case 'i':
			c.ints[i] = make([]*int64, 0, rows)
		default:
			c.bytes[i] = make([][]byte, 0, rows)
		}
	}
	return c
}

func (c *columns) add(row []any) error {
	for i, v := range row {
		if m, ok := v.(millis); ok {
			v = nil
			if at := time.Time(m); !at.IsZero() {
				v = at.UnixMilli()
			}
		}
		switch v := v.(type) {
		case string:
			c.texts[i] = append(c.texts[i], cleanText(v))
		case []byte:
			c.bytes[i] = append(c.bytes[i], v)
		case int64:
			c.ints[i] = append(c.ints[i], &v)
		case int:
			c.ints[i] = append(c.ints[i], new(int64(v)))
		case nil:
			c.ints[i] = append(c.ints[i], nil) // only numbers may be unknown
		default:
			return fmt.Errorf("column %d has a %T", i, v)
		}
	}
	return nil
}

// unnest is the SELECT that makes rows of the arrays again.
func (c *columns) unnest() string {
	casts := make([]string, len(c.types))
	for i := range c.types {
		switch c.types[i] {
		case 't':
			casts[i] = "CAST(? AS TEXT[])"
		case 'i':
			casts[i] = "CAST(? AS BIGINT[])"
		default:
			casts[i] = "CAST(? AS BYTEA[])"
		}
	}
	return "SELECT * FROM unnest(" + strings.Join(casts, ", ") + ")" //nolint:unqueryvet // all that are given
}

func (c *columns) arrays() []any {
	all := make([]any, len(c.types))
	for i := range c.types {
		switch c.types[i] {
		case 't':
			all[i] = c.texts[i]
		case 'i':
			all[i] = c.ints[i]
		default:
			all[i] = c.bytes[i]
		}
	}
	return all
}

// millis keeps a time as Unix milliseconds, the zero time as NULL.
type millis time.Time

// Value implements driver.Valuer.
func (m millis) Value() (driver.Value, error) {
	if time.Time(m).IsZero() {
		return nil, nil //nolint:nilnil // NULL, as driver.Valuer wants it
	}
	return time.Time(m).UnixMilli(), nil
}

// timeInto scans Unix milliseconds into a time; NULL and 0 are the zero time.
type timeInto struct{ t *time.Time }

// Scan implements sql.Scanner.
func (m timeInto) Scan(src any) error {
	var n sql.NullInt64
	if err := n.Scan(src); err != nil {
		return err
	}
	if !n.Valid || n.Int64 == 0 {
		*m.t = time.Time{}
		return nil
	}
	*m.t = time.UnixMilli(n.Int64).UTC()
	return nil
}

// jsonInto scans JSON text; empty text leaves the value as it is.
type jsonInto struct{ v any }

// Scan implements sql.Scanner.
func (j jsonInto) Scan(src any) error {
	var text []byte
	switch s := src.(type) {
	case string:
		text = []byte(s)
	case []byte:
		text = s
	default:
		return fmt.Errorf("scan %T as JSON", src)
	}
	if len(text) == 0 {
		return nil
	}
	return json.Unmarshal(text, j.v)
}

func reverseDigits(s string) string {
	b := make([]byte, 0, len(s))
	for i := len(s) - 1; i >= 0; i-- {
		if s[i] >= '0' && s[i] <= '9' {
			b = append(b, s[i])
		}
	}
	return string(b)
}
