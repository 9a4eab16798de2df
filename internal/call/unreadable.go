package call

import (
	"errors"
	"fmt"
)

// UnreadableError says that a row is there, and that what stands in it is nothing
// that could be written there: text in the place of a number, JSON that is none.
// Somebody has changed it past Callvault, or the disk has. What the database itself
// does not answer is another error.
type UnreadableError struct {
	// Column is the one that cannot be read; empty, if it has no name.
	Column string
	// ID is the row's id, empty if it was not read.
	ID string
	// Err is the cause. It may hold the value, and so numbers and names.
	Err error
}

// Error implements error.
func (e *UnreadableError) Error() string { return e.Err.Error() }

// Unwrap gives the cause.
func (e *UnreadableError) Unwrap() error { return e.Err }

// What says it for people, without the value.
func (e *UnreadableError) What() string {
	if e.Column == "" {
		return "its row cannot be read any more: what stands in it is nothing that is written there"
	}
	return fmt.Sprintf("its row cannot be read any more: what stands in %s is nothing that is written there", e.Column)
}

// AsUnreadable returns the UnreadableError of an error, nil if it has none.
func AsUnreadable(err error) *UnreadableError {
	bad, _ := errors.AsType[*UnreadableError](err)
	return bad
}

// CutShort is what comes of a part of a check, as verify names it, that could not
// be done to its end.
func CutShort(part string, err *UnreadableError) Checked {
	c := CameToEnd(part)
	which := "a row that it needs"
	if err.ID != "" {
		which = "the row with the id " + err.ID
	}
	if err.Column != "" {
		which += " (" + err.Column + ")"
	}
	c.Faults = []Fault{{Kind: FaultPart, Where: c.Where[0], What: which + " cannot be read any more: what lies behind it was not looked at"}}
	return c
}

// CameToEnd is what comes of a part of a check that was done to its end.
func CameToEnd(part string) Checked {
	return Checked{Where: []string{"verify/" + part}, Kinds: []FaultKind{FaultPart}}
}
