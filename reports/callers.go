package reports

import (
	"bufio"
	"cmp"
	"encoding/binary"
	"errors"
	"hash/maphash"
	"io"
	"os"
	"slices"
)

// Callers count the distinct customers of some inbound calls.
type Callers struct {
	// Unique counts customers' numbers, Repeat those with at least two calls.
	Unique, Repeat int64

	// id is by which notes refer to it; 0 if none does.
	id uint32
	// joined, if set, counts for this one.
	joined *Callers
}

// join lets the customers of another one count here.
func (c *Callers) join(o *Callers) { o.joined = c }

const (
	// notesAtOnce bounds the notes in memory: 2 MiB. A day of more calls has
	// them in a file.
	notesAtOnce = 1 << 16
	// noteParts is in how many parts the file is read, by the numbers' hashes:
	// of a million calls one has 16,000 notes.
	noteParts = 64
	// noteRows is how many rows a call belongs to: one of each dimension, of an
	// agent, and of an hour of a weekday.
	noteRows = 6
	noteSize = 8 + 4*noteRows
)

// note is a call of a customer, and the rows that count it.
type note struct {
	hash uint64
	rows [noteRows]uint32
}

// callerCounter counts distinct customers for any number of rows at once, in
// bounded memory. Two numbers of a day with a million customers have the same
// hash once in 30 million days.
type callerCounter struct {
	dir string
	// limit is notesAtOnce but in tests.
	limit int
	seed  maphash.Seed
	rows  []*Callers
	notes []note
	file  *os.File
	out   *bufio.Writer
	// runs say where each part of the notes begins that were written at once,
	// counted in notes; the last is where they end.
	runs    [][noteParts + 1]int64
	written int64
}

// newCallerCounter has its file, if it needs one, in the folder dir.
func newCallerCounter(dir string) *callerCounter {
	return &callerCounter{dir: dir, limit: notesAtOnce, seed: maphash.MakeSeed()}
}

// add notes a call of a customer for at most noteRows rows.
func (c *callerCounter) add(number string, rows ...*Callers) error {
	n := note{hash: maphash.String(c.seed, number)}
	for i, r := range rows {
		if r.id == 0 {
			c.rows = append(c.rows, r)
			r.id = uint32(len(c.rows))
		}
		n.rows[i] = r.id
	}
	c.notes = append(c.notes, n)
	if len(c.notes) < c.limit {
		return nil
	}
	return c.spill()
}

// spill writes the notes to the file, in order of their hashes.
func (c *callerCounter) spill() (err error) {
	if c.file == nil {
		if c.file, err = os.CreateTemp(c.dir, "callers-"); err != nil {
			return err
		}
		c.out = bufio.NewWriterSize(c.file, 64<<10)
	}
	c.sort()
	var run [noteParts + 1]int64
	part := 0
	var buffer [noteSize]byte
	for _, n := range c.notes {
		for ; part <= partOf(n.hash); part++ {
			run[part] = c.written
		}
		binary.LittleEndian.PutUint64(buffer[:], n.hash)
		for i, id := range n.rows {
			binary.LittleEndian.PutUint32(buffer[8+4*i:], id)
		}
		if _, err := c.out.Write(buffer[:]); err != nil {
			return err
		}
		c.written++
	}
	for ; part <= noteParts; part++ {
		run[part] = c.written
	}
	c.runs = append(c.runs, run)
	c.notes = c.notes[:0]
	return nil
}

// partOf is the part of a hash: its first six bits.
func partOf(hash uint64) int { return int(hash >> 58) }

func (c *callerCounter) sort() {
	slices.SortFunc(c.notes, func(a, b note) int { return cmp.Compare(a.hash, b.hash) })
}

// count fills in all rows.
func (c *callerCounter) count() error {
	// Several ids may be of one row by now.
	roots := make([]uint32, len(c.rows)+1)
	for i, r := range c.rows {
		for r.joined != nil {
			r = r.joined
		}
		if r.id == 0 {
			c.rows = append(c.rows, r)
			r.id = uint32(len(c.rows))
		}
		roots[i+1] = r.id
	}
	if c.file == nil {
		c.tally(roots)
		return nil
	}
	if err := c.spill(); err != nil {
		return err
	}
	if err := c.out.Flush(); err != nil {
		return err
	}
	for part := range noteParts {
		c.notes = c.notes[:0]
		for _, run := range c.runs {
			if err := c.read(run[part], run[part+1]); err != nil {
				return err
			}
		}
		c.tally(roots)
	}
	return nil
}

// read reads notes from the file.
func (c *callerCounter) read(from, to int64) error {
	in := bufio.NewReader(io.NewSectionReader(c.file, from*noteSize, (to-from)*noteSize))
	var buffer [noteSize]byte
	for range to - from {
		if _, err := io.ReadFull(in, buffer[:]); err != nil {
			return err
		}
		n := note{hash: binary.LittleEndian.Uint64(buffer[:])}
		for i := range n.rows {
			n.rows[i] = binary.LittleEndian.Uint32(buffer[8+4*i:])
		}
		c.notes = append(c.notes, n)
	}
	return nil
}

// tally counts the customers of the notes in memory, which are all notes of
// these customers.
func (c *callerCounter) tally(roots []uint32) {
	c.sort()
	var rows []uint32 // of one customer's calls
	for i := 0; i < len(c.notes); {
		rows = rows[:0]
		for hash := c.notes[i].hash; i < len(c.notes) && c.notes[i].hash == hash; i++ {
			for _, id := range c.notes[i].rows {
				if id != 0 {
					rows = append(rows, roots[id])
				}
			}
		}
		slices.Sort(rows)
		for j, id := range rows {
			first, second := j == 0 || rows[j-1] != id, j > 0 && rows[j-1] == id && (j == 1 || rows[j-2] != id)
			switch {
			case first:
				c.rows[id-1].Unique++
			case second:
				c.rows[id-1].Repeat++
			}
		}
	}
}

// close removes the file.
func (c *callerCounter) close() error {
	if c.file == nil {
		return nil
	}
	return errors.Join(c.file.Close(), os.Remove(c.file.Name()))
}
