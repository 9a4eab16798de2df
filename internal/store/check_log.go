package store

import (
	"bytes"
	"context"
	"database/sql"
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"callvault/internal/audit"
	"callvault/internal/call"

	"golang.org/x/mod/sumdb/tlog"
)

// logPlace is how far the check of the log is: the tree over the entries before
// it, computed anew, and the key that signed it by then.
type logPlace struct {
	Size     int64  `json:"size"`
	Edge     []byte `json:"edge"`
	Verifier string `json:"verifier"`
	// Broken: an entry is gone, so that the tree cannot be computed any more.
	Broken bool `json:"broken,omitempty"`
}

// CheckLog computes the tree over a page of the audit log's entries, beginning
// after the place that a page before ended with, and compares it with the
// stored hashes and, at the end, with the head; the seals with the tree as it
// was when they were signed. Rows that the log tells of must be there.
func (s *Store) CheckLog(ctx context.Context, o call.CheckOptions, after string, limit int) (call.Checked, error) {
	var place logPlace
	if after != "" {
		if err := json.Unmarshal([]byte(after), &place); err != nil {
			return call.Checked{}, call.Errorf(call.Invalid, "not a place that a page ended with")
		}
	}
	checked, err := s.checkLog(ctx, o, place, limit)
	if err != nil {
		return call.Checked{}, fmt.Errorf("check the audit log: %w", err)
	}
	return checked, nil
}

func (s *Store) checkLog(ctx context.Context, o call.CheckOptions, place logPlace, limit int) (call.Checked, error) {
	seals, err := s.keptSeals(ctx, place.Size, limit+1) // with the one that follows
	if err != nil {
		return call.Checked{}, err
	}
	entries, err := s.keptEntries(ctx, place.Size, limit)
	if err != nil {
		return call.Checked{}, err
	}
	// Where an entry and its hash do not belong together, one of them was
	// changed: the one without which fewer other things are wrong.
	computed := map[int64]bool{}
	try := func() (*logChecker, error) {
		c := &logChecker{checker: newChecker(s, o, call.FaultLog), place: place, seals: seals, computed: computed, made: map[string][]string{}}
		c.checked.Kinds = []call.FaultKind{call.FaultLog, call.FaultSeal, call.FaultSegment}
		return c, c.page(ctx, entries, limit)
	}
	best, err := try()
	if err != nil {
		return call.Checked{}, err
	}
	for _, seq := range slices.Clone(best.doubted[:min(len(best.doubted), maxDoubted)]) {
		computed[seq] = true
		other, err := try()
		if err != nil {
			return call.Checked{}, err
		}
		if len(other.checked.Faults) < len(best.checked.Faults) {
			best = other
		} else {
			delete(computed, seq)
		}
	}
	return best.checked, nil
}

// maxDoubted is of how many entries of a page it is found out whether they or
// their hashes were changed.
const maxDoubted = 20

type logChecker struct {
	*checker
	place logPlace
	tree  audit.Tree
	// grown are entries that the tree is still to take in, together: that costs
	// a fraction of one after the other.
	grown []grownEntry
	seals []keptSeal
	// made are the ids of rows that the log tells of, by their nouns.
	made map[string][]string
	// joined are the places of the former ids of calls that it tells of.
	joined []string
	// segments are what it says of the journal's, promised until when it says that
	// objects stay.
	segments []segmentFacts
	promised []toldPromises
	// doubted are the entries that are not those of their stored hashes;
	// computed are those of them of which the hash was changed.
	doubted  []int64
	computed map[int64]bool
}

type keptEntry struct {
	audit.Entry
	hashes []byte
	// unreadable says what of its row cannot be read, if anything cannot.
	unreadable string
}

// grownEntry is an entry that the tree is to take in: its hash, and what is stored
// with it; nil, if something else is wrong with it.
type grownEntry struct {
	leaf   tlog.Hash
	stored []tlog.Hash
}

func entryPlace(seq int64) string { return "log/" + strconv.FormatInt(seq, 10) }

func (s *Store) keptEntries(ctx context.Context, from int64, limit int) (entries []keptEntry, err error) {
	err = s.each(ctx, "SELECT "+auditColumns+", hashes FROM audit_entries WHERE seq >= ? ORDER BY seq LIMIT ?", []any{from, limit}, func(rows *sql.Rows) error {
		var e keptEntry
		var facts string
		err := rows.Scan(&e.Seq, timeInto{&e.At}, &e.Action, &e.Actor.Kind, &e.Actor.Name, &e.Actor.Address, &e.Subject, &e.Reason, &facts, &e.hashes)
		if facts != "" {
			e.Facts = json.RawMessage(facts)
		}
		if bad := call.AsUnreadable(unreadable(rows, err)); bad != nil {
			e.unreadable, e.hashes, err = bad.What(), []byte(rawText(rows, "hashes")), nil
		}
		entries = append(entries, e)
		return err
	})
	return entries, err
}

func (c *logChecker) page(ctx context.Context, entries []keptEntry, limit int) error {
	edge, err := readHashes(c.place.Edge)
	if err != nil {
		return err
	}
	c.tree = audit.Tree{Size: c.place.Size, Edge: edge}
	for i := range entries {
		if err := c.entry(&entries[i]); err != nil {
			return err
		}
	}
	if err := c.grow(); err != nil {
		return err
	}
	if err := c.gone(ctx); err != nil {
		return err
	}
	if err := c.redirects(ctx); err != nil {
		return err
	}
	if err := c.journal(ctx); err != nil {
		return err
	}
	if err := c.promises(ctx); err != nil {
		return err
	}
	if len(entries) == limit {
		c.place.Size, c.place.Edge = c.tree.Size, hashBytes(c.tree.Edge)
		next, err := json.Marshal(c.place)
		c.checked.Next = string(next)
		return err
	}
	return c.end(ctx)
}

// entry takes an entry into the tree.
func (c *logChecker) entry(e *keptEntry) error {
	where := entryPlace(e.Seq)
	if next := c.tree.Size + int64(len(c.grown)); e.Seq != next {
		if err := c.grow(); err != nil {
			return err
		}
		gone := entryPlace(next)
		c.checked.Where = append(c.checked.Where, gone)
		c.fault(call.FaultLog, gone, "it is gone, and %d after it with it", e.Seq-next-1)
		c.place.Broken = true
		c.tree = audit.Tree{Size: e.Seq} // its edge is not known any more
	}
	c.checked.Where = append(c.checked.Where, where)
	stored, err := readHashes(e.hashes)
	leaf, hashErr := e.Hash()
	grown := grownEntry{leaf: leaf}
	switch {
	case err != nil || len(stored) == 0:
		c.fault(call.FaultLog, where, "its hashes cannot be read")
	case e.unreadable != "":
		c.fault(call.FaultLog, where, "%s", e.unreadable)
		grown.leaf = stored[0]
	case hashErr != nil || leaf != stored[0]:
		// What follows is judged by itself.
		c.doubted = append(c.doubted, e.Seq)
		if c.computed[e.Seq] && hashErr == nil {
			c.fault(call.FaultLog, where, "the hash that is stored with it is another")
		} else {
			c.fault(call.FaultLog, where, "it is not what was logged: its hash is another")
			grown.leaf = stored[0]
		}
	default:
		c.note(e)
		grown.stored = stored
	}
	if c.place.Broken {
		c.tree.Size++
		return nil
	}
	c.grown = append(c.grown, grown)
	if len(c.seals) > 0 && c.seals[0].Size == c.tree.Size+int64(len(c.grown)) {
		return c.seal()
	}
	return nil
}

// grow takes into the tree what waits for it.
func (c *logChecker) grow() error {
	if len(c.grown) == 0 {
		return nil
	}
	leaves := make([]tlog.Hash, len(c.grown))
	for i, g := range c.grown {
		leaves[i] = g.leaf
	}
	tree, hashes, err := c.tree.Append(leaves)
	if err != nil {
		return err
	}
	for i, g := range c.grown {
		if g.stored != nil && !slices.Equal(hashes[i][1:], g.stored[1:]) {
			c.fault(call.FaultLog, entryPlace(c.tree.Size+int64(i)), "the tree's hashes that are stored with it are others")
		}
	}
	c.tree, c.grown = tree, c.grown[:0]
	return nil
}

// note takes what an entry says.
func (c *logChecker) note(e *keptEntry) {
	switch e.Action {
	case audit.LogKeyMade, audit.LogKeyChanged:
		var f audit.KeyFacts
		if json.Unmarshal(e.Facts, &f) == nil {
			c.place.Verifier = f.Verifier
		}
	case audit.RecordingArchived, audit.RunBuilt, audit.MailBegun, audit.HoldPlaced, audit.ErasureBegun,
		audit.UserAdded, audit.TokenAdded, audit.ExportRequested, audit.AccountPaused, audit.ReportSeen, audit.FaultOpened:
		noun, id, _ := strings.Cut(e.Subject, "/")
		c.made[noun] = append(c.made[noun], id)
	case audit.CallJoined:
		c.joined = append(c.joined, e.Subject)
	case audit.JournalWritten:
		var f segmentFacts
		if json.Unmarshal(e.Facts, &f) == nil {
			f.subject = e.Subject
			c.segments = append(c.segments, f)
		}
	case audit.ObjectsRetained:
		p := toldPromises{seq: e.Seq}
		if json.Unmarshal(e.Facts, &p.PromiseFacts) == nil {
			c.promised = append(c.promised, p)
		}
	default:
	}
}

// seal compares the seals of the tree as it is now.
func (c *logChecker) seal() error {
	if err := c.grow(); err != nil {
		return err
	}
	for len(c.seals) > 0 && c.seals[0].Size == c.tree.Size {
		k := c.seals[0]
		c.seals = c.seals[1:]
		c.checked.Where = append(c.checked.Where, k.ObjectKey)
		if k.unreadable != "" {
			c.fault(call.FaultSeal, k.ObjectKey, "%s", k.unreadable)
			continue
		}
		head, err := c.tree.Head()
		if err != nil {
			return err
		}
		switch sealed, err := audit.OpenSeal(k.Note, c.place.Verifier); {
		case err != nil:
			c.fault(call.FaultSeal, k.ObjectKey, "it is not signed by the key of the log (%s)", audit.Fingerprint(c.place.Verifier))
		case sealed.Size != k.Size || sealed.Hash != head.Hash:
			c.fault(call.FaultSeal, k.ObjectKey, "the log of %d entries is not the one that it sealed: it has been rewritten", k.Size)
		case k.ObjectKey != sealed.ObjectKey() || !k.At.Equal(sealed.At):
			c.fault(call.FaultSeal, k.ObjectKey, "its row says another place or time than it does itself")
		case k.RetainUntil.Before(sealed.RetainUntil):
			c.fault(call.FaultSeal, k.ObjectKey, "%s", less(k.RetainUntil, sealed.RetainUntil))
		case k.BeingPut && len(c.seals) > 0:
			c.fault(call.FaultSeal, k.ObjectKey, "its row says that it is still to be put into the vault, and there is a later seal: that is made only when it lies there")
		}
	}
	return nil
}

// end compares the whole tree with the head. More may have been logged since
// the last page was read, and is left to the next check, but for whether it begins
// where that ended.
func (c *logChecker) end(ctx context.Context) error {
	const head = "log/head"
	c.checked.Where = append(c.checked.Where, head, "log/key")
	var size int64
	var edge []byte
	var missing bool
	err := c.each(ctx, "SELECT size, edge, size > ? AND NOT EXISTS (SELECT 1 FROM audit_entries WHERE seq = ?) FROM audit_head WHERE id = 0",
		[]any{c.tree.Size, c.tree.Size}, func(rows *sql.Rows) error { return rows.Scan(&size, &edge, &missing) })
	if bad := call.AsUnreadable(err); bad != nil {
		c.fault(call.FaultLog, head, "%s", bad.What())
		size = c.tree.Size
	} else if err != nil {
		return err
	}
	switch {
	case call.AsUnreadable(err) != nil:
	case size < c.tree.Size:
		c.fault(call.FaultLog, head, "it says that there are %d entries, and there are %d", size, c.tree.Size)
	case missing:
		gone := entryPlace(c.tree.Size)
		c.checked.Where = append(c.checked.Where, gone)
		c.fault(call.FaultLog, gone, "it is gone: the head says that there are %d entries", size)
	case size == c.tree.Size && !c.place.Broken && !bytes.Equal(edge, hashBytes(c.tree.Edge)):
		c.fault(call.FaultLog, head, "it is not that of the entries")
	}
	for _, more := range []func(context.Context) error{c.before, c.versions, c.strayObjects} {
		if err := more(ctx); err != nil {
			return err
		}
	}
	for _, k := range c.seals {
		if k.Size > size {
			c.checked.Where = append(c.checked.Where, k.ObjectKey)
			c.fault(call.FaultSeal, k.ObjectKey, "it sealed %d entries, and the log has %d: some have been cut off", k.Size, size)
		}
	}
	return c.key(ctx)
}

// before names entries before the first: the tree has none of them, but whoever
// looks for what was told of a row would find them.
func (c *logChecker) before(ctx context.Context) error {
	return c.each(ctx, "SELECT seq FROM audit_entries WHERE seq < 0 ORDER BY seq LIMIT ?", []any{backgroundRows}, func(rows *sql.Rows) error {
		var seq int64
		err := rows.Scan(&seq)
		c.checked.Where = append(c.checked.Where, entryPlace(seq))
		c.fault(call.FaultLog, entryPlace(seq), "no entry gets such a number: somebody has put it there")
		return err
	})
}

// key compares the key that the log names with the one that is used.
func (c *logChecker) key(ctx context.Context) error {
	known, err := c.AuditKey(ctx)
	if err != nil {
		return err
	}
	switch {
	case known != c.place.Verifier && !c.place.Broken && (known != "" || c.tree.Size > 0 && c.place.Verifier != ""):
		// A key may have been made since the last page was read.
		head, err := c.AuditHead(ctx) // what is wrong with it was told before
		if err == nil && head.Size == c.tree.Size {
			c.fault(call.FaultLog, "log/key", "the log names the key %s, and the database %s", audit.Fingerprint(c.place.Verifier), audit.Fingerprint(known))
		}
	case c.o.Verifier != "" && known != "" && known != c.o.Verifier:
		c.fault(call.FaultLog, "log/key", "the log is signed by the key %s, and the key file has %s", audit.Fingerprint(known), audit.Fingerprint(c.o.Verifier))
	}
	return nil
}

// gone looks for rows that the log tells of and that are not there. What is
// there is for CheckRows.
func (c *logChecker) gone(ctx context.Context) error {
	for _, table := range []struct {
		kind      call.FaultKind
		name, key string
	}{
		{call.FaultRecording, "recordings", "id"}, {call.FaultRun, "runs", "id"}, {call.FaultMail, "mails", "id"}, {call.FaultHold, "holds", "id"},
		{call.FaultErasure, "erasures", "id"}, {call.FaultUser, "users", "name"}, {call.FaultToken, "tokens", "name"}, {call.FaultExport, "exports", "id"},
		{call.FaultAccount, "account_pauses", "account"}, {call.FaultReport, "report_schedules", "report"},
		{call.FaultFault, "faults", "id"},
	} {
		there := map[string]bool{}
		made := c.made[string(table.kind)]
		slices.Sort(made)
		ids := slices.Compact(made)
		err := inChunks(ids, func(chunk []string) error {
			args := make([]any, len(chunk))
			for i, id := range chunk {
				args[i] = id
			}
			return c.each(ctx, "SELECT "+table.key+" FROM "+table.name+" WHERE "+table.key+" IN "+tuples(1, len(args)), args, func(rows *sql.Rows) error {
				var id string
				err := rows.Scan(&id)
				there[id] = true
				return err
			})
		})
		if err != nil {
			return err
		}
		for _, id := range ids {
			if there[id] {
				continue
			}
			where := string(table.kind) + "/" + id
			what, err := c.whyGone(ctx, table.kind, where)
			if err != nil {
				return err
			}
			c.checked.Where = append(c.checked.Where, where)
			if what != "" {
				c.fault(table.kind, where, "%s", what)
			}
		}
	}
	return nil
}

// whyGone says what is wrong about a row that is not there; empty: nothing.
func (c *logChecker) whyGone(ctx context.Context, kind call.FaultKind, where string) (string, error) {
	const gone = "its row is gone, and the log says nothing of that"
	_, id, _ := strings.Cut(where, "/")
	switch kind {
	case call.FaultRecording:
		return c.whyRecordingGone(ctx, where, id)
	case call.FaultFault:
		return c.whyFaultGone(ctx, where)
	case call.FaultAccount:
		return c.lostPause(ctx, id, c.tree.Size)
	case call.FaultUser, call.FaultToken, call.FaultExport:
		// These a rebuild does not bring back, and they may be added again.
		last, err := c.lastEntries(ctx, []string{where}, audit.UserAdded, audit.TokenAdded, audit.ExportRequested)
		if err != nil {
			return "", err
		}
		if last[where].Seq >= c.tree.Size {
			return "", nil // the page of that entry names it
		}
		if rebuilt, err := c.isRebuiltAfter(ctx, last[where].Seq); rebuilt || err != nil {
			return "", err
		}
		return gone, nil
	default:
		return gone, nil
	}
}

// whyRecordingGone is whyGone for recordings: the rows of those whose audio is gone go
// with the facts of their calls.
func (c *checker) whyRecordingGone(ctx context.Context, where, id string) (string, error) {
	last, err := c.lastEntries(ctx, []string{where}, audit.RecordingArchived, audit.RecordingAbsent, audit.RecordingRefused, audit.RecordingWoken, audit.RecordingRetained,
		audit.RecordingExpiring, audit.RecordingExpired, audit.RecordingKept, audit.RecordingErased, audit.RecordingErasureFailed)
	if err != nil {
		return "", err
	}
	var f audit.RecordingFacts
	if json.Unmarshal(last[where].Facts, &f) != nil {
		return "", nil //nolint:nilerr // the check of the log names the entry
	}
	switch last[where].Action {
	case audit.RecordingAbsent, audit.RecordingRefused, audit.RecordingExpired, audit.RecordingErased:
	default:
		return fmt.Sprintf("its row is gone; the log says that it was archived as %s", f.ObjectKey), nil
	}
	what := ""
	err = c.each(ctx, "SELECT 1 FROM calls WHERE id = ?", []any{f.CallID}, func(*sql.Rows) error {
		what = "the row of recording " + id + " is gone, and its call is not"
		return nil
	})
	return what, err
}
