package archive

import (
	"context"
	"strings"

	"callvault/internal/call"
)

// lying is what the vault has under one key.
type lying struct {
	Version           // the one that is read; none if it is hidden
	versions, markers int
	hidden            bool
}

// merge walks through the vault and the rows at once, both in the order of
// keys, from prefix on and up to end, if there is one.
func (v *Verifier) merge(ctx context.Context, prefix, end string, others *keySet, jobs chan<- object) error {
	began := v.o.Now()
	r := &rows{store: v.o.Store, prefix: prefix, key: prefix}
	for found, err := range v.lie(ctx, prefix) {
		if err == nil && end != "" && found.Key >= end {
			break
		}
		if err == nil {
			err = r.passOver(ctx, found.Key, jobs)
		}
		if err != nil {
			return err
		}
		known, why, err := r.match(ctx, found, jobs)
		if err != nil {
			return err
		}
		if known || found.hidden || others.has(found.Key) || !found.Modified.Before(began.Add(-v.o.Grace)) {
			continue
		}
		if speaksForItself(found.Key) {
			if err := give(ctx, jobs, object{KeptObject: call.KeptObject{Key: found.Key, Size: found.Size}, lying: found}); err != nil {
				return err
			}
			continue
		}
		if err := v.unknown(ctx, found.Key, why); err != nil {
			return err
		}
	}
	return r.passOver(ctx, end, jobs)
}

// speaksForItself reports whether an object is one that no row has a hash of:
// exports hold the hashes of all that is in them, and the audit log has those of
// certificates.
func speaksForItself(key string) bool {
	return strings.HasPrefix(key, "exports/") || strings.HasPrefix(key, "erasures/")
}

// unknown reports an object, unless it has been taken into the rows meanwhile.
func (v *Verifier) unknown(ctx context.Context, key, why string) error {
	page, err := v.o.Store.RecordingsByKey(ctx, key, "", 1)
	if err != nil {
		return err
	}
	if len(page) > 0 && page[0].ObjectKey == key && page[0].State == call.Archived {
		return nil
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.found(call.Checked{Where: []string{key}, Kinds: objectKinds(true), Faults: []call.Fault{{Kind: call.FaultUnknown, Where: key, What: why}}})
}

// lie yields what lies under each key that begins with prefix, in their order.
func (v *Verifier) lie(ctx context.Context, prefix string) func(func(lying, error) bool) {
	return func(yield func(lying, error) bool) {
		var l lying
		for version, err := range v.o.Vault.Versions(ctx, prefix) {
			if err != nil {
				yield(l, err)
				return
			}
			if version.Key != l.Key {
				if l.Key != "" && !yield(l, nil) {
					return
				}
				l = lying{Version: Version{ObjectInfo: ObjectInfo{Key: version.Key}}}
			}
			if version.Marker {
				l.markers++
				l.hidden = l.hidden || version.Latest
				continue
			}
			if l.versions++; version.Latest {
				l.Version = version
			}
		}
		if l.Key != "" {
			yield(l, nil)
		}
	}
}
