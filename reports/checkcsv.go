package reports

import (
	"archive/zip"
	"bufio"
	"context"
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"slices"
	"strings"

	"callvault/internal/call"
)

// fileKind is which of a report's files a file is.
type fileKind struct {
	format Format
	// suffix ends the names of such files.
	suffix string
}

// kindOf looks into a file, for it may have got any name on its way.
func kindOf(path string) (kind fileKind, err error) {
	file, err := os.Open(path)
	if err != nil {
		return kind, err
	}
	defer func() { err = errors.Join(err, file.Close()) }()
	in := bufio.NewReader(file)
	if magic, err := in.Peek(4); err == nil && string(magic) == "PK\x03\x04" {
		archive, err := zip.OpenReader(path)
		if err != nil {
			return kind, call.Errorf(call.Invalid, "%s is no whole workbook: %v", path, err)
		}
		book := slices.ContainsFunc(archive.File, func(f *zip.File) bool { return f.Name == workbookPart })
		if !book {
			err = call.Errorf(call.Invalid, "%s is a ZIP file and no workbook", path)
		}
		return fileKind{XLSX, ".xlsx"}, errors.Join(err, archive.Close())
	}
	// A header is at most some hundreds of bytes long.
	header, err := newCSVReader(io.LimitReader(in, 64<<10)).Read()
	if _, ok := errors.AsType[*fs.PathError](err); ok {
		return kind, err
	}
	if err == nil {
		none := new(Input)
		for table, headings := range map[string][]heading{
			"-calls.csv":   callRecords(new(styles), none).headings(),
			"-agents.csv":  agentRecords(new(styles), none, new(Figures)).headings(),
			"-summary.csv": summaryRecords(new(styles), none, new(Figures)).headings(),
		} {
			known := 0
			for _, h := range headings {
				if slices.Contains(header, h.name) {
					known++
				}
			}
			// Another version of the program may have had other columns.
			if 2*known > len(headings) {
				return fileKind{CSV, table}, nil
			}
		}
	}
	return kind, call.Errorf(call.Invalid, "%s is neither a workbook nor a CSV file of a report: it does not begin like one", path)
}

// newCSVReader reads CSV with or without a byte order mark, whose lines may
// have any number of fields.
func newCSVReader(r io.Reader) *csv.Reader {
	in := bufio.NewReaderSize(r, 64<<10)
	if mark, err := in.Peek(3); err == nil && string(mark) == "\uFEFF" {
		// What has been peeked at can be discarded.
		_, _ = in.Discard(len(mark))
	}
	reader := csv.NewReader(in)
	reader.FieldsPerRecord = -1
	reader.ReuseRecord = true
	return reader
}

// compareCSV compares a CSV file with what it should be, by the names of the
// columns.
func (c *Checked) compareCSV(ctx context.Context, path, want string) (err error) {
	given, err := os.Open(path)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, given.Close()) }()
	made, err := os.Open(want)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, made.Close()) }()
	file, report := newCSVReader(given), newCSVReader(made)
	columns, fields, err := c.compareHeaders(file, report)
	if err != nil {
		return err
	}
	for n := 2; ; n++ {
		if n%1024 == 0 && ctx.Err() != nil {
			return ctx.Err()
		}
		a, errA := file.Read()
		b, errB := report.Read()
		switch {
		case errA != nil && !errors.Is(errA, io.EOF):
			return call.Errorf(call.Invalid, "%s cannot be read as CSV: %v", path, errA)
		case errB != nil && !errors.Is(errB, io.EOF):
			return errB
		case errA != nil && errB != nil:
			return nil
		case errA != nil:
			c.add(fmt.Sprintf("line %d", n), "no such line", beginning(b))
			continue
		case errB != nil:
			line, _ := file.FieldPos(0)
			c.add(fmt.Sprintf("line %d", line), beginning(a), "no such line")
			continue
		}
		line, _ := file.FieldPos(0)
		for _, column := range columns {
			x, y := field(a, column.file), field(b, column.report)
			if x != y {
				c.add(fmt.Sprintf("line %d, %s", line, column.name), quote(x), quote(y))
			}
		}
		if len(a) > fields {
			c.add(fmt.Sprintf("line %d", line), plural(int64(len(a)), "field"), plural(int64(len(b)), "field"))
		}
	}
}

// sharedColumn is a column that both files have.
type sharedColumn struct {
	name         string
	file, report int
}

// compareHeaders tells which columns both files have, and how many the file has;
// it counts the others as differences.
func (c *Checked) compareHeaders(file, report *csv.Reader) (columns []sharedColumn, fields int, err error) {
	given, err := file.Read()
	if err != nil {
		return nil, 0, err
	}
	made, err := report.Read()
	if err != nil {
		return nil, 0, err
	}
	for i, name := range made {
		if at := slices.Index(given, name); at >= 0 {
			columns = append(columns, sharedColumn{name, at, i})
		} else {
			c.add("line 1, "+name, "no such column", "a column")
		}
	}
	for i, name := range given {
		if !slices.Contains(made, name) || slices.Index(given, name) != i {
			c.add("line 1, "+quote(name), "a column", "no such column")
		}
	}
	return columns, len(given), nil
}

// beginning is how a line begins, for people.
func beginning(record []string) string {
	return quote(strings.Join(record[:min(len(record), 3)], ","))
}

// field is a field of a record that may be too short.
func field(record []string, i int) string {
	if i < len(record) {
		return record[i]
	}
	return ""
}
