package reports

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"math"
	"time"
)

// TableForm is how a table is written for other programs.
type TableForm string

// The forms. All are UTF-8 with the same names of columns; JSON has one object a
// line, and Parquet the type of each column.
const (
	TableCSV     TableForm = "csv"
	TableJSON    TableForm = "json"
	TableParquet TableForm = "parquet"
)

// TableForms are all forms.
func TableForms() []TableForm { return []TableForm{TableCSV, TableJSON, TableParquet} }

// recorder takes the records of a table, in order. A field is a string, an
// integer, a *int that is nil if it is not known, an instant, a figure, or a
// json.Number.
type recorder interface {
	write(fields ...any) error
	close() error
}

// instant is a moment in Unix milliseconds; 0 is not known.
type instant int64

// figure is a figure of a unit; NaN is n/a.
type figure struct {
	value float64
	unit  unit
}

// kind is what the fields of a column are; any may be missing.
type kind int

const (
	texts kind = iota
	integers
	decimals
	moments
)

// heading is a column of a table for other programs.
type heading struct {
	name string
	kind kind
}

func kindOfValue(value any) kind {
	switch v := value.(type) {
	case int, int64, *int:
		return integers
	case instant:
		return moments
	case figure:
		if v.unit == counts {
			return integers
		}
		return decimals
	}
	return texts
}

func names(headings []heading) []string {
	var names []string
	for _, h := range headings {
		names = append(names, h.name)
	}
	return names
}

func (in *Input) newRecorder(form TableForm, out io.Writer, header []heading) (recorder, error) {
	switch form {
	case TableJSON:
		return newJSONLines(out, in.zone, header), nil
	case TableParquet:
		return newParquet(out, in.Settings.Version, header)
	case TableCSV:
	}
	return newCSV(unclosed{out}, in.zone, header...)
}

// unclosed is an output that is not ours to close.
type unclosed struct{ io.Writer }

// Close does nothing.
func (unclosed) Close() error { return nil }

// jsonLines writes records as JSON, an object a line. What is not known is null.
type jsonLines struct {
	out  *bufio.Writer
	line bytes.Buffer
	json *json.Encoder
	// keys are what stands before each value: the names, quoted.
	keys []string
	zone *time.Location
}

func newJSONLines(out io.Writer, zone *time.Location, headings []heading) *jsonLines {
	j := &jsonLines{out: bufio.NewWriterSize(out, 64<<10), zone: zone}
	j.json = json.NewEncoder(&j.line)
	j.json.SetEscapeHTML(false)
	for i, h := range headings {
		j.keys = append(j.keys, fmt.Sprintf("%c%q:", "{,"[min(i, 1)], h.name))
	}
	return j
}

func (j *jsonLines) write(fields ...any) error {
	j.line.Reset()
	for i, field := range fields {
		j.line.WriteString(j.keys[i])
		if err := j.json.Encode(j.value(field)); err != nil {
			return err
		}
		j.line.Truncate(j.line.Len() - 1) // the line that the encoder ends
	}
	j.line.WriteString("}\n")
	_, err := j.out.Write(j.line.Bytes())
	return err
}

func (j *jsonLines) value(field any) any {
	switch v := field.(type) {
	case instant:
		if v == 0 {
			return nil
		}
		return formatMoment(int64(v), j.zone)
	case figure:
		if math.IsNaN(v.value) {
			return nil
		}
		return json.Number(csvFigure(v.value, v.unit))
	}
	return field
}

func (j *jsonLines) close() error { return j.out.Flush() }
