package call

import "time"

// ObjectSort is what an object in the vault is that is no recording.
type ObjectSort string

// The sorts whose objects are promised to stay. Bundles of exports are not among
// them: they go by themselves.
const (
	SegmentObjects     ObjectSort = "journal"
	ReportObjects      ObjectSort = "reports" // files and frozen inputs
	SealObjects        ObjectSort = "seals"
	CertificateObjects ObjectSort = "erasures"
)

// Term is how long objects of a sort are kept. The zero Term promises nothing.
type Term struct {
	// Name is all of the term as people read it, such as "reports: 8y".
	Name string
	// End is when the term that begins at start is over, by the calendar of
	// start's zone; the zero time if it never is.
	End func(start time.Time) time.Time
}

// Terms say how long what is no recording is promised to stay.
type Terms struct {
	Of map[ObjectSort]Term
	// Locks: the vault holds what is promised, and wants a date for it.
	Locks bool
}

// Promise is until when an object of a sort, whose term begins at start, is
// promised to stay; zero if nothing is promised. What is kept for ever is
// promised by a vault that locks for ten years, once: unlike that of audio the
// promise is not renewed, for it would keep for ever also what somebody may ask
// to have erased.
func (t Terms) Promise(sort ObjectSort, start time.Time) time.Time {
	term := t.Of[sort]
	if term.End == nil {
		return time.Time{}
	}
	end := term.End(start)
	if end.IsZero() && t.Locks {
		end = start.AddDate(foreverPromiseYears, 0, 0)
	}
	if end.IsZero() {
		return end
	}
	return end.UTC().Truncate(time.Millisecond)
}

// Promised is what one row says of objects that are no recording, and what is
// promised for them.
type Promised struct {
	// ID is the number of a segment, the size of a sealed log, or a run's id.
	ID string
	// Keys are those of the objects.
	Keys []string
	// Start is when the term begins, in the zone whose calendar counts.
	Start time.Time
	// Was is what was promised before, and RetainUntil what is promised now; zero:
	// nothing.
	Was, RetainUntil time.Time
}
