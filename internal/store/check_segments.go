package store

import (
	"context"
	"database/sql"
	"slices"
	"strconv"
	"strings"
	"time"

	"callvault/internal/audit"
	"callvault/internal/call"
)

// This file compares the rows of segments of the journal, and of what lies in the
// vault beside those that count, by which such objects are known there, with what
// the log says of them.

// segmentFacts are what the log says of a segment of the journal.
type segmentFacts struct {
	SHA256   string `json:"sha256"`
	Size     int64  `json:"size"`
	Revision int64  `json:"revision"` // of one that was written again
	subject  string
}

// keptSegment is what the row of a segment says of it.
type keptSegment struct {
	segmentFacts
	blockedBy    string
	blockedUntil time.Time
}

// journal compares the rows of segments, by which the objects are judged, with
// what the log says of them.
func (c *logChecker) journal(ctx context.Context) error {
	wrong := map[string]bool{}
	for _, f := range c.segments {
		c.checked.Where = append(c.checked.Where, f.subject)
		number, err := strconv.ParseInt(strings.TrimPrefix(f.subject, "journal/"), 10, 64)
		if err != nil {
			continue
		}
		there, found, err := c.segmentRow(ctx, number, f.subject)
		for tries := 0; err == nil && there && found.segmentFacts != f && tries < 2; tries++ {
			// It was written again, and the row is read after the log.
			if f, err = c.rewritten(ctx, f); err == nil {
				there, found, err = c.segmentRow(ctx, number, f.subject)
			}
		}
		what := ""
		if err == nil && there {
			what, err = c.blockedSegment(ctx, found)
		}
		switch {
		case call.AsUnreadable(err) != nil:
			c.fault(call.FaultSegment, f.subject, "%s", call.AsUnreadable(err).What())
		case err != nil:
			return err
		case !there:
			c.fault(call.FaultSegment, f.subject, "its row is gone; the log says that it was written")
		case found.segmentFacts != f:
			c.fault(call.FaultSegment, f.subject, "its row is not what the log says was written: size, SHA-256 or revision is another")
		case what != "":
			c.fault(call.FaultSegment, f.subject, "%s", what)
		default:
			continue
		}
		wrong[f.subject] = true
	}
	return c.beside(ctx, wrong)
}

func (c *logChecker) segmentRow(ctx context.Context, number int64, subject string) (there bool, row keptSegment, err error) {
	row.subject = subject
	err = c.each(ctx, "SELECT sha256, size, revision, blocked_by, blocked_until FROM journal_segments WHERE number = ?", []any{number}, func(rows *sql.Rows) error {
		there = true
		return rows.Scan(&row.SHA256, &row.Size, &row.Revision, &row.blockedBy, timeInto{&row.blockedUntil})
	})
	return there, row, err
}

// rewritten is what the log says of a segment after all times that it was written
// again, each in the place of the one before.
func (c *logChecker) rewritten(ctx context.Context, f segmentFacts) (segmentFacts, error) {
	err := c.each(ctx, "SELECT facts FROM audit_entries WHERE subject <> '' AND subject = ? AND action = ? ORDER BY seq", []any{f.subject, string(audit.JournalRewritten)}, func(rows *sql.Rows) error {
		var again call.JournalRewrite
		if err := rows.Scan(jsonInto{&again}); err != nil {
			return passOver(rows, err) // it is named as an entry
		}
		if again.OldSHA256 == f.SHA256 {
			f.SHA256, f.Size, f.Revision = again.SHA256, again.Size, again.Revision
		}
		return nil
	})
	return f, err
}

// besideSegment is a row of what lies beside a segment.
type besideSegment struct {
	number, revision, size int64
	key, state, sha256     string
	// counts is the revision of the segment that counts.
	counts int64
	// unreadable says what of it cannot be read, if anything cannot.
	unreadable string
}

// beside checks what lies beside the segments of this page, of which those that
// are wrong already are left out.
func (c *logChecker) beside(ctx context.Context, wrong map[string]bool) error {
	var numbers []int64
	for _, f := range c.segments {
		number, err := strconv.ParseInt(strings.TrimPrefix(f.subject, "journal/"), 10, 64)
		if err == nil && !wrong[f.subject] {
			numbers = append(numbers, number)
		}
	}
	slices.Sort(numbers)
	return inChunks(slices.Compact(numbers), func(chunk []int64) error {
		args := make([]any, len(chunk))
		for i, n := range chunk {
			args[i] = n
		}
		var found []besideSegment
		err := c.each(ctx, `SELECT o.number, o.revision, o.object_key, o.state, o.sha256, o.size, g.revision FROM journal_objects o JOIN journal_segments g ON g.number = o.number
			WHERE o.number IN `+tuples(1, len(args))+" ORDER BY o.number, o.revision", args, func(rows *sql.Rows) error {
			var b besideSegment
			err := rows.Scan(&b.number, &b.revision, &b.key, &b.state, &b.sha256, &b.size, &b.counts)
			if bad := call.AsUnreadable(unreadable(rows, err)); bad != nil {
				b.unreadable, err = bad.What(), nil
			}
			found = append(found, b)
			return err
		})
		if err != nil {
			return err
		}
		for _, b := range found {
			what, err := c.wrongBeside(ctx, b)
			if err != nil {
				return err
			}
			if where := segmentPlace(b.number); what != "" && !wrong[where] {
				wrong[where] = true
				c.fault(call.FaultSegment, where, "%s", what)
			}
		}
		return nil
	})
}

// wrongBeside says what is wrong with a row, if anything is. Of what was given up
// before it ever counted the log does not tell, nor of what is just being put.
func (c *logChecker) wrongBeside(ctx context.Context, b besideSegment) (string, error) {
	const row = "the row of what lies beside it "
	switch {
	case b.unreadable != "":
		return row + "cannot be read any more", nil
	case b.key != call.SegmentKey(b.number, b.revision):
		return row + "names an object that is none of its own", nil
	case b.state != "old" && b.state != "planned":
		return row + "is neither old nor planned", nil
	case b.revision == b.counts, b.state == "planned" && b.revision < b.counts:
		return row + "says of an object that counts, or did, that it does not", nil
	case b.state == "planned":
		return "", nil
	}
	told, err := c.revisions(ctx, b.number)
	if err != nil {
		return "", err
	}
	if was, ok := told[b.revision]; ok && (was.SHA256 != b.sha256 || was.Size != b.size) {
		return row + "is not what the log says was written: size or SHA-256 is another", nil
	}
	return "", nil
}

// revisions are the objects of a segment that ever counted, as the log tells.
func (c *logChecker) revisions(ctx context.Context, number int64) (map[int64]segmentFacts, error) {
	told := map[int64]segmentFacts{}
	err := c.each(ctx, "SELECT facts FROM audit_entries WHERE subject <> '' AND subject = ? AND action IN (?, ?)",
		[]any{segmentPlace(number), string(audit.JournalWritten), string(audit.JournalRewritten)}, func(rows *sql.Rows) error {
			var f call.JournalRewrite // the first is written with revision 0
			if err := rows.Scan(jsonInto{&f}); err != nil {
				return passOver(rows, err) // it is named as an entry
			}
			told[f.Revision] = segmentFacts{SHA256: f.SHA256, Size: f.Size}
			return nil
		})
	return told, err
}

// strayObjects looks for rows of what lies beside segments that are none.
func (c *logChecker) strayObjects(ctx context.Context) error {
	const where = "journal/objects"
	c.checked.Where = append(c.checked.Where, where)
	return c.each(ctx, "SELECT count(*) FROM journal_objects o WHERE NOT EXISTS (SELECT 1 FROM journal_segments g WHERE g.number = o.number AND g.sha256 <> '')", nil, func(rows *sql.Rows) error {
		var n int64
		err := rows.Scan(&n)
		if n > 0 {
			c.fault(call.FaultSegment, where, "%d rows name objects beside segments of the journal that are not there", n)
		}
		return err
	})
}
