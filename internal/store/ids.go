package store

import (
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"strconv"
	"strings"
	"time"

	"callvault/internal/call"

	"github.com/google/uuid"
)

// This file gives ids. Those of calls and recordings follow from the delivery
// that first speaks of them: so they are the same again when a database is made
// anew from the deliveries alone.

// newID makes an id that is ordered by the time of its making (UUID version
// 7, RFC 9562).
func newID() string { return uuid.Must(uuid.NewV7()).String() }

// derivedID is the id of what an item of a delivery gives rise to. It is
// ordered by the delivery's receipt, as finely as the delivery's own UID is. It
// is a UUID of version 8 (RFC 9562, section 5.8), which tells it from ids that
// were drawn.
func derivedID(d *call.Delivery, item int, what ...string) string {
	id := hashedID(d.UID, strconv.Itoa(item), strings.Join(what, "\x00"))
	if uid, err := uuid.Parse(d.UID); err == nil && uid.Version() == 7 {
		copy(id[:8], uid[:8])
	} else {
		var ms [8]byte
		binary.BigEndian.PutUint64(ms[:], uint64(d.ReceivedAt.UnixMilli())<<16)
		copy(id[:6], ms[:6])
	}
	return asVersion8(id)
}

// splitID is the id of the call that a stored leg founds when it leaves its
// call for a key that no call has. Both calls are as old.
func splitID(l *leg) string {
	k := l.callKey()
	id := hashedID("split", l.callID, l.Account, l.Key, string(k.kind), k.value)
	if from, err := uuid.Parse(l.callID); err == nil {
		copy(id[:8], from[:8])
	}
	return asVersion8(id)
}

// All ids begin with when they came about, in milliseconds: those of calls with
// the receipt of the delivery that first spoke of them. It stays known when that
// delivery is deleted, and of two calls that become one the older's stays.

// firstIDFrom is what all ids from a time on do not come before.
func firstIDFrom(t time.Time) string {
	ms := max(t.UnixMilli(), 0)
	return fmt.Sprintf("%08x-%04x", ms>>16, ms&0xffff)
}

// heardAt is when what has an id was first heard of; ok is false if its id does
// not tell. The first eight digits are enough; they tell it to 66 seconds.
func heardAt(id string) (at time.Time, ok bool) {
	digits := strings.ReplaceAll(id[:min(len(id), 13)], "-", "")
	if len(digits) < 8 {
		return at, false
	}
	ms, err := strconv.ParseInt(digits, 16, 64)
	if len(digits) < 12 {
		ms <<= 16
	}
	return time.UnixMilli(ms).UTC(), err == nil
}

func hashedID(parts ...string) (id uuid.UUID) {
	sum := sha256.Sum256([]byte(strings.Join(parts, "\x00")))
	copy(id[:], sum[:])
	return id
}

func asVersion8(id uuid.UUID) string {
	id[6] = id[6]&0x0f | 0x80
	id[8] = id[8]&0x3f | 0x80
	return id.String()
}

// isDerived reports whether an id follows from a delivery. Those that were
// given before ids did so were drawn.
func isDerived(id string) bool {
	parsed, err := uuid.Parse(id)
	return err == nil && parsed.Version() == 8
}

// recordingKey is what a recording is unique by.
type recordingKey struct {
	account string
	kind    call.RecordingKind
	source  string
}

// origin is where a recording was first named.
type origin struct {
	id string
	at time.Time
}

// noteOrigins notes which recordings an item of a delivery names, in case
// nobody has before.
func (r *recorder) noteOrigins(i, n int) {
	d := r.stored[i]
	l := d.Items[n].Leg
	for _, w := range l.Recordings {
		k := recordingKey{l.Account, w.Kind, w.Source}
		if _, known := r.origins[k]; !known {
			r.origins[k] = origin{derivedID(d, n, "recording", string(w.Kind), w.Source), d.ReceivedAt}
		}
	}
}

// originOf is where a recording comes from that a leg wants.
func (r *recorder) originOf(account string, w call.Wanted) origin {
	if o, ok := r.origins[recordingKey{account, w.Kind, w.Source}]; ok {
		return o
	}
	return origin{newID(), r.now} // of a report that is not at hand: it is there already
}
