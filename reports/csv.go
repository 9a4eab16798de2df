package reports

import (
	"bufio"
	"context"
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"time"

	"callvault/internal/call"
)

// guard keeps a text from being read as a formula by a spreadsheet.
func guard(s string) string { return call.CSVText(s) }

// guardNumber guards a text that may be a number; numbers stay as they are.
func guardNumber(s string) string {
	if isNumber(s) {
		return s
	}
	return guard(s)
}

// csvFile writes CSV (RFC 4180) in UTF-8.
type csvFile struct {
	file   io.Closer
	out    *bufio.Writer
	csv    *csv.Writer
	record []string
	zone   *time.Location
}

// createCSV creates a CSV file. Times in it are of a zone.
func createCSV(path string, zone *time.Location, header ...heading) (*csvFile, error) {
	file, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return nil, err
	}
	// Excel takes a file without the mark for the local 8-bit code page.
	_, err = io.WriteString(file, "\uFEFF")
	c, errHeader := newCSV(file, zone, header...)
	return c, errors.Join(err, errHeader)
}

// newCSV writes CSV to out, which close closes.
func newCSV(out io.WriteCloser, zone *time.Location, header ...heading) (*csvFile, error) {
	c := &csvFile{file: out, out: bufio.NewWriterSize(out, 64<<10), zone: zone}
	c.csv = csv.NewWriter(c.out)
	c.csv.UseCRLF = true
	return c, c.csv.Write(names(header))
}

func (c *csvFile) close() error {
	c.csv.Flush()
	return errors.Join(c.csv.Error(), c.out.Flush(), c.file.Close())
}

// write writes the fields of a record; see recorder.
func (c *csvFile) write(fields ...any) error {
	c.record = c.record[:0]
	for _, field := range fields {
		c.record = append(c.record, c.text(field))
	}
	return c.csv.Write(c.record)
}

func (c *csvFile) text(field any) string {
	switch v := field.(type) {
	case string:
		return guard(v)
	case *int:
		return formatSeconds(v)
	case instant:
		return formatMoment(int64(v), c.zone)
	case figure:
		return csvFigure(v.value, v.unit)
	}
	return fmt.Sprint(field)
}

// writeRow writes a row of a table of many.
func writeRow[T any](c *csvFile, columns []column[T], of T) error {
	c.record = c.record[:0]
	for i := range columns {
		c.record = append(c.record, columns[i].text(of))
	}
	return c.csv.Write(c.record)
}

// writeCSV writes a table to a CSV file.
func writeCSV[T any](ctx context.Context, path string, zone *time.Location, of records[T]) error {
	c, err := createCSV(path, zone, of.headings()...)
	if err != nil {
		return err
	}
	return errors.Join(of.write(ctx, c), c.close())
}

// csvFigure writes a figure for programs: rates as fractions of 1.
func csvFigure(v float64, u unit) string {
	if math.IsNaN(v) {
		return notAvailable
	}
	decimals := 3
	if u == rates {
		decimals = 6
	}
	return formatFloat(v, decimals)
}
