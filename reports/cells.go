package reports

import (
	"io"
	"math"
	"strconv"
	"time"
	"unicode/utf8"
)

// cells writes the rows of a long sheet as SpreadsheetML. Every text is an
// inline string: whatever it begins with, it is not a formula.
type cells struct {
	out    io.Writer
	buf    []byte
	zone   *time.Location
	row    int
	column int
	// names are the columns' letters.
	names []string
}

func newCells(out io.Writer, zone *time.Location, firstRow, columns int) *cells {
	c := &cells{out: out, zone: zone, row: firstRow - 1}
	for i := range columns {
		c.names = append(c.names, columnName(i))
	}
	return c
}

// columnName is the letters of a column, counted from 0.
func columnName(i int) string {
	if i < 26 {
		return string(rune('A' + i))
	}
	return columnName(i/26-1) + columnName(i%26)
}

func (c *cells) begin() {
	c.row++
	c.column = 0
	c.buf = append(c.buf[:0], `<row r="`...)
	c.buf = strconv.AppendInt(c.buf, int64(c.row), 10)
	c.buf = append(c.buf, `">`...)
}

func (c *cells) end() error {
	c.buf = append(c.buf, `</row>`...)
	_, err := c.out.Write(c.buf)
	return err
}

// open begins a cell but for the end of its tag.
func (c *cells) open(style int) {
	c.buf = append(c.buf, `<c r="`...)
	c.buf = append(c.buf, c.names[c.column]...)
	c.buf = strconv.AppendInt(c.buf, int64(c.row), 10)
	c.buf = append(c.buf, `" s="`...)
	c.buf = strconv.AppendInt(c.buf, int64(style), 10)
	c.column++
}

func (c *cells) blank() { c.column++ }

func (c *cells) text(s string, style int) {
	if s == "" {
		c.blank()
		return
	}
	c.open(style)
	c.buf = append(c.buf, `" t="inlineStr"><is><t`...)
	c.content(s)
	c.buf = append(c.buf, `</t></is></c>`...)
}

// content appends a text and the end of its tag.
func (c *cells) content(s string) {
	if s[0] <= ' ' || s[len(s)-1] <= ' ' {
		c.buf = append(c.buf, ` xml:space="preserve"`...)
	}
	c.buf = append(c.buf, '>')
	c.buf = appendXML(c.buf, fitCell(s))
}

func (c *cells) integer(n int64, style int) {
	c.open(style)
	c.buf = append(c.buf, `"><v>`...)
	c.buf = strconv.AppendInt(c.buf, n, 10)
	c.buf = append(c.buf, `</v></c>`...)
}

// number writes a number as a number, other text as text.
func (c *cells) number(s string, number, text int) {
	if !isNumber(s) {
		c.text(s, text)
		return
	}
	c.open(number)
	c.buf = append(c.buf, `"><v>`...)
	c.buf = append(c.buf, s...)
	c.buf = append(c.buf, `</v></c>`...)
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
	c.open(st.of(u))
	c.buf = append(c.buf, `"><v>`...)
	c.buf = strconv.AppendFloat(c.buf, v, 'f', -1, 64)
	c.buf = append(c.buf, `</v></c>`...)
}

// seconds writes a duration as a part of a day.
func (c *cells) seconds(s *int, style int) {
	if s == nil {
		c.blank()
		return
	}
	if *s < 0 {
		// Excel shows no negative times; the number itself is at least true.
		c.text(strconv.Itoa(*s)+" s", style)
		return
	}
	c.open(style)
	c.buf = append(c.buf, `"><v>`...)
	c.buf = appendDays(c.buf, int64(*s))
	c.buf = append(c.buf, `</v></c>`...)
}

// time writes a moment (Unix milliseconds) as the zone's clocks show it, to
// the second.
func (c *cells) time(ms int64, style int) {
	if ms == 0 {
		c.blank()
		return
	}
	_, offset := time.UnixMilli(ms).In(c.zone).Zone()
	local := ms/1000 + int64(offset) + excelEpoch
	if local < excelFirst || local >= excelEnd {
		c.text(time.UnixMilli(ms).In(c.zone).Format(time.RFC3339), style)
		return
	}
	c.open(style)
	c.buf = append(c.buf, `"><v>`...)
	c.buf = appendDays(c.buf, local)
	c.buf = append(c.buf, `</v></c>`...)
}

// link writes a text that opens an address. It is a formula, because a sheet
// holds at most 65,530 hyperlinks; both texts are Callvault's own.
func (c *cells) link(address, s string, style int) {
	c.open(style)
	c.buf = append(c.buf, `" t="str"><f>HYPERLINK("`...)
	c.buf = appendXML(c.buf, address)
	c.buf = append(c.buf, `","`...)
	c.buf = appendXML(c.buf, s)
	c.buf = append(c.buf, `")</f><v>`...)
	c.buf = appendXML(c.buf, s)
	c.buf = append(c.buf, `</v></c>`...)
}

// Excel counts days from 1899-12-30. Before March 1900 it counts wrongly, and
// beyond 9999 it stops; all in seconds.
const (
	excelEpoch = 25569 * 86400
	excelFirst = 61 * 86400
	excelEnd   = 2958466 * 86400
)

// appendDays appends seconds as days with ten decimals: 9 µs, so that no second
// is shown as its neighbour.
func appendDays(b []byte, seconds int64) []byte {
	const scale = 10_000_000_000
	b = strconv.AppendInt(b, seconds/86400, 10)
	fraction := int64(math.Round(float64(seconds%86400) * scale / 86400))
	if fraction == 0 {
		return b
	}
	b = append(b, '.')
	for unit := int64(scale / 10); fraction > 0; unit /= 10 {
		b = append(b, byte('0'+fraction/unit))
		fraction %= unit
	}
	return b
}

// appendXML appends a text escaped for XML. What XML cannot hold becomes
// U+FFFD. "_x0041_" would be read as "A" by Excel, so its first underscore is
// written the same way.
func appendXML(b []byte, s string) []byte {
	for i := 0; i < len(s); {
		ch := s[i]
		switch {
		case ch == '&':
			b = append(b, "&amp;"...)
		case ch == '<':
			b = append(b, "&lt;"...)
		case ch == '>':
			b = append(b, "&gt;"...)
		case ch == '"':
			b = append(b, "&#34;"...)
		case ch == '\r':
			b = append(b, "&#13;"...)
		case ch == '_' && looksEscaped(s[i:]):
			b = append(b, "_x005F_"...)
		case ch >= utf8.RuneSelf || ch < ' ' && ch != '\t' && ch != '\n':
			r, size := utf8.DecodeRuneInString(s[i:])
			if !xmlRune(r) {
				r = utf8.RuneError
			}
			b = utf8.AppendRune(b, r)
			i += size
			continue
		default:
			b = append(b, ch)
		}
		i++
	}
	return b
}

// looksEscaped reports whether s begins with _xHHHH_.
func looksEscaped(s string) bool {
	if len(s) < 7 || s[1] != 'x' || s[6] != '_' {
		return false
	}
	_, err := strconv.ParseUint(s[2:6], 16, 16)
	return err == nil
}
