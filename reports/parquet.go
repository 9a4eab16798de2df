package reports

import (
	"encoding/json"
	"fmt"
	"io"
	"math"
	"reflect"

	"github.com/parquet-go/parquet-go"
)

// groupRows is how many records a row group of a Parquet file has: they are in
// memory until it is full.
const groupRows = 20_000

// parquetFile writes records as Parquet: texts in UTF-8, 64-bit integers,
// doubles, and moments as milliseconds of UTC. What is not known is null.
type parquetFile struct {
	out      *parquet.GenericWriter[any]
	headings []heading
	row      parquet.Row
}

func newParquet(out io.Writer, version string, headings []heading) (*parquetFile, error) {
	// A schema made of a list is in the order of the names; of a struct, in that
	// of its fields.
	var fields []reflect.StructField
	for i, h := range headings {
		field := reflect.StructField{
			Name: fmt.Sprintf("F%d", i), Type: reflect.TypeFor[int64](),
			Tag: reflect.StructTag(fmt.Sprintf(`parquet:"%s,optional"`, h.name)),
		}
		switch h.kind {
		case texts:
			field.Type = reflect.TypeFor[string]()
		case decimals:
			field.Type = reflect.TypeFor[float64]()
		case moments:
			field.Tag = reflect.StructTag(fmt.Sprintf(`parquet:"%s,optional,timestamp(millisecond)"`, h.name))
		case integers:
		}
		fields = append(fields, field)
	}
	config, err := parquet.NewWriterConfig(
		parquet.SchemaOf(reflect.New(reflect.StructOf(fields)).Interface()),
		parquet.MaxRowsPerRowGroup(groupRows), parquet.Compression(&parquet.Zstd),
		parquet.CreatedBy("callvault", version, ""),
	)
	if err != nil {
		return nil, fmt.Errorf("make a Parquet file: %w", err)
	}
	return &parquetFile{out: parquet.NewGenericWriter[any](out, config), headings: headings, row: make(parquet.Row, len(headings))}, nil
}

func (p *parquetFile) write(fields ...any) error {
	for i, field := range fields {
		value, known := p.headings[i].value(field)
		level := 0
		if known {
			level = 1
		}
		p.row[i] = value.Level(0, level, i)
	}
	_, err := p.out.WriteRows([]parquet.Row{p.row})
	return err
}

// value is a field of the column, and whether it is known.
func (h heading) value(field any) (v parquet.Value, known bool) {
	switch f := field.(type) {
	case string:
		return parquet.ByteArrayValue([]byte(f)), true
	case json.Number:
		return parquet.ByteArrayValue([]byte(f)), true
	case int:
		return parquet.Int64Value(int64(f)), true
	case int64:
		return parquet.Int64Value(f), true
	case *int:
		if f != nil {
			return parquet.Int64Value(int64(*f)), true
		}
	case instant:
		if f != 0 {
			return parquet.Int64Value(int64(f)), true
		}
	case figure:
		switch {
		case math.IsNaN(f.value):
		case h.kind == integers:
			return parquet.Int64Value(int64(f.value)), true
		default:
			return parquet.DoubleValue(f.value), true
		}
	}
	return parquet.NullValue(), false
}

func (p *parquetFile) close() error { return p.out.Close() }
