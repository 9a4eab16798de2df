package reports

import (
	"bufio"
	"encoding/csv"
	"errors"
	"io"
	"math"
	"os"
	"strconv"
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

// csvFile writes a CSV file: UTF-8 with byte order mark, RFC 4180.
type csvFile struct {
	file   *os.File
	out    *bufio.Writer
	csv    *csv.Writer
	record []string
}

func createCSV(path string, header ...string) (*csvFile, error) {
	file, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return nil, err
	}
	c := &csvFile{file: file, out: bufio.NewWriterSize(file, 64<<10)}
	c.csv = csv.NewWriter(c.out)
	c.csv.UseCRLF = true
	// Excel takes a file without the mark for the local 8-bit code page.
	_, err = io.WriteString(c.out, "\uFEFF")
	return c, errors.Join(err, c.csv.Write(header))
}

func (c *csvFile) close() error {
	c.csv.Flush()
	return errors.Join(c.csv.Error(), c.out.Flush(), c.file.Close())
}

// writeRow writes a row of a long table.
func writeRow[T any](c *csvFile, columns []column[T], of T) error {
	c.record = c.record[:0]
	for i := range columns {
		c.record = append(c.record, columns[i].text(of))
	}
	return c.csv.Write(c.record)
}

func names[T any](columns []column[T]) []string {
	var names []string
	for _, c := range columns {
		names = append(names, c.name)
	}
	return names
}

// agentNames are the columns of the table of agents.
func agentNames() []string {
	header := []string{"rank", "agent_name", "agent_id", "agent_number", "account", "group"}
	for _, m := range agentMeasures() {
		header = append(header, m.name)
	}
	return header
}

// summaryNames are the columns of the summary in long form.
func summaryNames() []string {
	return []string{"report", "period_from", "period_to", "section", "measure", "direction", "hour", "unit", "value"}
}

// writeAgentsCSV writes the figures of all agents.
func writeAgentsCSV(path string, f *Figures) error {
	c, err := createCSV(path, agentNames()...)
	if err != nil {
		return err
	}
	for i, a := range f.Agents {
		record := []string{strconv.Itoa(i + 1), guard(a.Name), guard(a.ID),
			guard(a.Number), guard(a.Account), guard(a.Group)}
		for _, m := range agentMeasures() {
			if m.moment != nil {
				record = append(record, formatMoment(milliseconds(m.moment(a)), f.Period.From.Location()))
				continue
			}
			record = append(record, csvFigure(m.figure(a), m.unit))
		}
		if err := c.csv.Write(record); err != nil {
			return errors.Join(err, c.close())
		}
	}
	return c.close()
}

// writeSummaryCSV writes the summary in long form: one figure a line. A figure
// that does not exist (an empty denominator) is n/a.
func writeSummaryCSV(path string, f *Figures) error {
	c, err := createCSV(path, summaryNames()...)
	if err != nil {
		return err
	}
	s := &f.Settings
	write := func(section, measure, direction, hour string, u unit, value float64) error {
		return c.csv.Write([]string{
			guard(s.Report), f.Period.From.Format(time.RFC3339), f.Period.To.Format(time.RFC3339),
			section, measure, direction, hour, string(u), csvFigure(value, u),
		})
	}
	for _, m := range f.measures() {
		for i, direction := range [...]string{"inbound", "outbound", "total"} {
			if m.has[i] {
				if err := write(m.section, m.name, direction, "", m.unit, m.values[i]); err != nil {
					return errors.Join(err, c.close())
				}
			}
		}
	}
	for hour := range f.Hours {
		for _, m := range hourMeasures() {
			err := write("Hours", m.name, m.direction, strconv.Itoa(hour), m.unit, m.figure(&f.Hours[hour]))
			if err != nil {
				return errors.Join(err, c.close())
			}
		}
	}
	return c.close()
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
