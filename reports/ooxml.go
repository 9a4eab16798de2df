package reports

import (
	"archive/zip"
	"bufio"
	"bytes"
	"cmp"
	"errors"
	"io"
	"io/fs"
	"math"
	"os"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/klauspost/compress/flate"
)

// packager is the zip writer that excelize hands a workbook's parts to. It does
// three things that excelize does not:
//
// It puts the parts, and the entries of [Content_Types].xml, in a fixed order
// and gives all the same time, so that the same workbook is the same bytes.
//
// It writes to the file itself. excelize would collect the archive in memory.
//
// It writes the rows of long sheets straight into the archive, where excelize
// left them empty: excelize's own stream goes through a temporary file of all
// the XML and several allocations per cell.
type packager struct {
	file  *os.File
	at    time.Time
	parts map[string]*bytes.Buffer
	// rows writes the rows of a part that follow those excelize made.
	rows map[string]func(io.Writer) error
	// zip64From is the size of a part in bytes from which its header must say
	// that it takes zip64 to read; see markZip64.
	zip64From uint64
}

func newPackager(file *os.File, at time.Time) *packager {
	return &packager{
		file: file, at: at.UTC(), parts: make(map[string]*bytes.Buffer),
		rows: make(map[string]func(io.Writer) error), zip64From: math.MaxUint32,
	}
}

// Create begins a part; it is written by Close.
func (p *packager) Create(name string) (io.Writer, error) {
	part := new(bytes.Buffer)
	p.parts[name] = part
	return part, nil
}

// AddFS is part of excelize's interface, which does not use it for workbooks.
func (p *packager) AddFS(fs.FS) error { return errors.New("a workbook is made of parts") }

// Close writes the archive.
func (p *packager) Close() error {
	names := make([]string, 0, len(p.parts))
	for name := range p.parts {
		names = append(names, name)
	}
	// The content types and relations come first, as readers that stream ask.
	slices.SortFunc(names, func(a, b string) int {
		return cmp.Or(cmp.Compare(partRank(a), partRank(b)), cmp.Compare(a, b))
	})
	buffer := bufio.NewWriterSize(p.file, 256<<10)
	out := &countingWriter{w: buffer}
	archive := zip.NewWriter(out)
	archive.RegisterCompressor(zip.Deflate, func(w io.Writer) (io.WriteCloser, error) {
		return flate.NewWriter(w, flate.BestSpeed)
	})
	var large []int64 // offsets of the headers of parts that take zip64
	for _, name := range names {
		header := &zip.FileHeader{Name: name, Method: zip.Deflate, Modified: p.at}
		part, err := archive.CreateHeader(header)
		if err != nil {
			return err
		}
		// Flushed, the header is the last that has been written.
		if err := archive.Flush(); err != nil {
			return err
		}
		offset := out.n - int64(localHeader+len(name)+len(header.Extra))
		counted := &countingWriter{w: part}
		if err := p.write(counted, name); err != nil {
			return err
		}
		if uint64(counted.n) > p.zip64From {
			large = append(large, offset)
		}
	}
	if err := archive.Close(); err != nil {
		return err
	}
	if err := buffer.Flush(); err != nil {
		return err
	}
	return p.markZip64(large)
}

// localHeader is the size of a part's header without its name and extra field.
const localHeader = 30

// markZip64 sets the version needed to read a part to 4.5 in its local header.
// archive/zip learns a part's size too late to do so itself, and Excel takes a
// large part whose two headers disagree for a damaged file.
func (p *packager) markZip64(offsets []int64) error {
	for _, offset := range offsets {
		if _, err := p.file.WriteAt([]byte{45, 0}, offset+4); err != nil {
			return err
		}
	}
	return nil
}

func partRank(name string) int {
	switch name {
	case "[Content_Types].xml":
		return 0
	case "_rels/.rels":
		return 1
	default:
		return 2
	}
}

func (p *packager) write(w io.Writer, name string) error {
	content := p.parts[name].Bytes()
	if name == "[Content_Types].xml" {
		content = sortTypes(content)
	}
	rows := p.rows[name]
	if rows == nil {
		_, err := w.Write(content)
		return err
	}
	// excelize folds columns away without saying that there are any to unfold.
	if bytes.Contains(content, []byte(` outlineLevel="1"`)) {
		content = bytes.Replace(content, []byte("<sheetFormatPr "), []byte(`<sheetFormatPr outlineLevelCol="1" `), 1)
	}
	head, tail, found := bytes.Cut(content, []byte("</sheetData>"))
	if !found {
		return errors.New("sheet without data")
	}
	if _, err := w.Write(head); err != nil {
		return err
	}
	if err := inStep(w, rows); err != nil {
		return err
	}
	_, err := io.WriteString(w, "</sheetData>"+string(tail))
	return err
}

var (
	typeDefault  = regexp.MustCompile(`<Default [^>]*></Default>`)
	typeOverride = regexp.MustCompile(`<Override [^>]*></Override>`)
)

// sortTypes puts the entries of a content types part in order: excelize keeps
// some of them in maps.
func sortTypes(content []byte) []byte {
	for _, entry := range []*regexp.Regexp{typeDefault, typeOverride} {
		all := entry.FindAllString(string(content), -1)
		slices.Sort(all)
		next := 0
		content = entry.ReplaceAllFunc(content, func([]byte) []byte {
			next++
			return []byte(all[next-1])
		})
	}
	return content
}

// inStep runs produce, and writes what it wrote to w on another goroutine, so
// that making rows and compressing them share two processors. It returns when
// both are done.
func inStep(w io.Writer, produce func(io.Writer) error) error {
	const buffers, size = 4, 256 << 10
	full, free := make(chan []byte, buffers), make(chan []byte, buffers)
	for range buffers {
		free <- make([]byte, 0, size)
	}
	written := make(chan error, 1)
	go func() {
		var err error
		for b := range full {
			if err == nil {
				_, err = w.Write(b)
			}
			free <- b[:0]
		}
		written <- err
	}()
	step := &stepWriter{full: full, free: free, current: <-free}
	err := produce(step)
	full <- step.current
	close(full)
	return errors.Join(err, <-written)
}

// stepWriter gathers writes into buffers and passes on the full ones.
type stepWriter struct {
	full, free chan []byte
	current    []byte
}

func (s *stepWriter) Write(p []byte) (int, error) {
	if len(s.current) > 0 && len(s.current)+len(p) > cap(s.current) {
		s.full <- s.current
		s.current = <-s.free
	}
	s.current = append(s.current, p...)
	return len(p), nil
}

type countingWriter struct {
	w io.Writer
	n int64
}

func (c *countingWriter) Write(p []byte) (int, error) {
	n, err := c.w.Write(p)
	c.n += int64(n)
	return n, err
}

// maxCellText is the most UTF-16 units that Excel takes in a cell.
const maxCellText = 32767

// fitCell cuts a text to what a cell holds; a cut one ends in "…".
func fitCell(s string) string {
	if len(s) <= maxCellText { // bytes: no fewer than units
		return s
	}
	units, end := 0, 0
	for i, r := range s {
		n := 1
		if r > 0xffff {
			n = 2
		}
		if units+n > maxCellText {
			return s[:end] + "…"
		}
		units += n
		if units <= maxCellText-1 {
			end = i + len(string(r))
		}
	}
	return s
}

// validText drops nothing and adds nothing but replaces what XML cannot hold
// (control characters, broken UTF-8) by U+FFFD.
func validText(s string) string {
	return strings.Map(func(r rune) rune {
		if !xmlRune(r) {
			return '\uFFFD'
		}
		return r
	}, s)
}

var escapedUnit = regexp.MustCompile(`_x[0-9A-Fa-f]{4}_`)

// plainText escapes what a spreadsheet would read as an escaped character:
// "_x0041_" would be shown as "A".
func plainText(s string) string { return escapedUnit.ReplaceAllString(s, "_x005F$0") }

// xmlRune reports whether XML 1.0 may hold a character (section 2.2).
func xmlRune(r rune) bool {
	return r >= 0x20 && r <= 0xd7ff || r == '\t' || r == '\n' || r == '\r' ||
		r >= 0xe000 && r <= 0xfffd || r >= 0x10000 && r <= 0x10ffff
}
