package archive

import (
	"time"

	"callvault/internal/call"
)

// LockMode is how a vault keeps what it has locked.
type LockMode string

// The modes of S3 Object Lock. Callvault itself never makes use of the right
// to bypass governance.
const (
	// Unlocked: the vault promises nothing. What must not go is kept by
	// Callvault alone.
	Unlocked LockMode = ""
	// Governance: only somebody with a right of his own can delete what is
	// locked.
	Governance LockMode = "governance"
	// Compliance: nobody can, whoever he is, until the date has come.
	Compliance LockMode = "compliance"
)

// Protection is what keeps an object from being deleted or altered.
type Protection struct {
	// Until is when the lock ends; zero: there is none. Stores know seconds; a
	// lock is never shorter than asked for.
	Until time.Time
	// Hold keeps the object for as long as it is set, whatever Until says.
	Hold bool
}

// Keeps says whether the object must stay at a time.
func (p Protection) Keeps(now time.Time) bool { return p.Hold || p.Until.After(now) }

// with is the stronger of both in each way.
func (p Protection) with(o Protection) Protection {
	if o.Until.After(p.Until) {
		p.Until = o.Until
	}
	p.Hold = p.Hold || o.Hold
	return p
}

// LockedError says that an object may not be deleted yet.
type LockedError struct {
	Key string
	Protection
}

// Error implements error.
func (e *LockedError) Error() string {
	text := "object " + e.Key + " is locked"
	if !e.Until.IsZero() {
		text += " until " + e.Until.UTC().Format(time.RFC3339)
	}
	if e.Hold {
		text += " under a legal hold"
	}
	return text
}

// ErrCannotLock says that the store cannot keep objects as it was asked to.
// Nothing is put then: an archive must not be without locks in silence.
var ErrCannotLock = call.Errorf(call.Unavailable, "takes nothing: its bucket cannot lock objects, which vault.s3.object_lock asks for; "+
	"name a bucket that was made with Object Lock, or switch object_lock off")

// Version is one of the versions that a store keeps under a key. Where it
// keeps no versions, or nobody meddles with it, each object has one.
type Version struct {
	ObjectInfo // with key, size and time only

	// ID tells the versions of one key apart; empty where there is but one.
	ID string
	// Latest is the one that is read.
	Latest bool
	// Marker is no object but a mark that hides the older ones, as if they were
	// deleted.
	Marker bool
}
