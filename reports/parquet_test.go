package reports

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/parquet-go/parquet-go"
)

func tableAs(t *testing.T, in *Input, table Table, form TableForm) []byte {
	t.Helper()
	var b bytes.Buffer
	if err := in.writeTable(t.Context(), table, form, &b); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// readParquet reads the columns of a Parquet file, each as its name and type,
// and the rows with each value as JSON would have it.
func readParquet(t *testing.T, content []byte, zone *time.Location) (columns []string, rows [][]any) {
	t.Helper()
	file, err := parquet.OpenFile(bytes.NewReader(content), int64(len(content)))
	if err != nil {
		t.Fatal(err)
	}
	fields := file.Schema().Fields()
	for _, f := range fields {
		columns = append(columns, f.Name()+" "+f.Type().String())
	}
	reader := parquet.NewReader(file)
	for {
		batch := make([]parquet.Row, 10)
		n, err := reader.ReadRows(batch)
		for _, raw := range batch[:n] {
			one := make([]any, len(raw))
			for i, v := range raw {
				switch {
				case v.IsNull():
				case v.Kind() == parquet.ByteArray:
					one[i] = string(v.ByteArray())
				case v.Kind() == parquet.Double:
					one[i] = csvFigure(v.Double(), rates)
				case strings.Contains(columns[i], " TIMESTAMP"):
					one[i] = formatMoment(v.Int64(), zone)
				default:
					one[i] = strconv.FormatInt(v.Int64(), 10)
				}
			}
			rows = append(rows, one)
		}
		if errors.Is(err, io.EOF) {
			return columns, rows
		}
		if err != nil {
			t.Fatal(err)
		}
	}
}

// Each table is the same as Parquet and as JSON, the same bytes each time, and
// of the same types when it is empty.
func TestTablesAsParquet(t *testing.T) {
	t.Parallel()
	in := tangledInput(t, 1, filepath.Join(t.TempDir(), inputName))
	empty := benchmarkInput(t, 0)
	for _, table := range Tables() {
		content := tableAs(t, in, table, TableParquet)
		if !bytes.Equal(content, tableAs(t, in, table, TableParquet)) {
			t.Errorf("%s: other bytes the second time", table)
		}
		columns, rows := readParquet(t, content, in.zone)
		without, _ := readParquet(t, tableAs(t, empty, table, TableParquet), in.zone)
		if diff := cmp.Diff(columns, without); diff != "" {
			t.Errorf("%s: other columns without records: %s", table, diff)
		}
		lines := bytes.Split(bytes.TrimSpace(tableAs(t, in, table, TableJSON)), []byte("\n"))
		if len(lines) != len(rows) || len(rows) == 0 {
			t.Fatalf("%s: %d lines of JSON, %d rows", table, len(lines), len(rows))
		}
		for n, line := range lines {
			d := json.NewDecoder(bytes.NewReader(line))
			d.UseNumber()
			if _, err := d.Token(); err != nil {
				t.Fatal(err)
			}
			var want []any
			for d.More() {
				_, nameErr := d.Token()
				value, err := d.Token()
				if err := errors.Join(nameErr, err); err != nil {
					t.Fatal(err)
				}
				if number, ok := value.(json.Number); ok {
					value = number.String()
				}
				want = append(want, value)
			}
			for i := range want {
				// JSON rounds some figures to fewer digits.
				if want[i] != rows[n][i] && !nearly(want[i], rows[n][i]) {
					t.Errorf("%s, row %d, %s: %v, in JSON %v", table, n, columns[i], rows[n][i], want[i])
				}
			}
		}
	}
}

func nearly(a, b any) bool {
	s, aText := a.(string)
	o, bText := b.(string)
	x, errX := strconv.ParseFloat(s, 64)
	y, errY := strconv.ParseFloat(o, 64)
	return aText && bText && errors.Join(errX, errY) == nil && x-y < 0.001 && y-x < 0.001
}
