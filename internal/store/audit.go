package store

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"callvault/internal/audit"
	"callvault/internal/call"

	"golang.org/x/mod/sumdb/tlog"
)

// audit adds entries to the log, if the transaction is committed. It only
// collects them, so it may be called while rows are scanned; that statement
// says so (statement.audits).
func (t *tx) audit(_ context.Context, entries ...audit.Entry) error {
	for _, e := range entries {
		normal, err := e.Normal()
		if err != nil {
			return inputFault{err}
		}
		t.entries = append(t.entries, normal)
	}
	return nil
}

// mayAudit reports whether there are entries for the log, or statements still
// wait that may give some.
func (t *tx) mayAudit() bool {
	return len(t.entries) > 0 || slices.ContainsFunc(t.waiting, func(s statement) bool { return s.audits })
}

// writeAudit writes the collected entries, their hashes and the new head. The
// log's one head is locked until the commit, so this comes last in a
// transaction and is done once, for all changes that share it.
func (t *tx) writeAudit(ctx context.Context) error {
	if !t.mayAudit() {
		return nil
	}
	var tree audit.Tree
	var edge []byte
	var now time.Time
	found, err := t.one(ctx, "SELECT size, edge, {now} FROM audit_head WHERE id = 0 {lock row}", nil, &tree.Size, &edge, timeInto{&now})
	if err != nil {
		return fmt.Errorf("read the audit log's head: %w", err)
	}
	if !found {
		return errors.New("read the audit log's head: its row is gone")
	}
	if len(t.entries) == 0 {
		return nil
	}
	if tree.Edge, err = readHashes(edge); err != nil {
		return fmt.Errorf("read the audit log's head: %w", err)
	}
	leaves := make([]tlog.Hash, len(t.entries))
	for i := range t.entries {
		e := &t.entries[i]
		e.Seq = tree.Size + int64(i)
		if e.At.IsZero() {
			e.At = now
		}
		if leaves[i], err = e.Hash(); err != nil {
			return fmt.Errorf("append to the audit log: %w", err)
		}
	}
	tree, stored, err := tree.Append(leaves)
	if err != nil {
		return fmt.Errorf("append to the audit log: %w", err)
	}
	first := t.entries[0].Seq
	err = insertMany(ctx, t, "append to the audit log",
		"INSERT INTO audit_entries (seq, at, action, actor_kind, actor_name, actor_address, subject, reason, facts, hashes)", "iitttttttb", "", t.entries,
		func(e audit.Entry, args []any) []any {
			return append(args, e.Seq, e.At.UnixMilli(), string(e.Action), e.Actor.Kind, e.Actor.Name, e.Actor.Address,
				e.Subject, e.Reason, string(e.Facts), hashBytes(stored[e.Seq-first]))
		})
	if err != nil {
		return err
	}
	return t.later(ctx, statement{what: "write the audit log's head", query: "UPDATE audit_head SET size = ?, edge = ? WHERE id = 0", args: []any{tree.Size, hashBytes(tree.Edge)}})
}

func readHashes(b []byte) ([]tlog.Hash, error) {
	if len(b)%tlog.HashSize != 0 {
		return nil, fmt.Errorf("%d bytes are not a number of hashes", len(b))
	}
	hashes := make([]tlog.Hash, 0, len(b)/tlog.HashSize)
	for h := range slices.Chunk(b, tlog.HashSize) {
		hashes = append(hashes, tlog.Hash(h))
	}
	return hashes, nil
}

func hashBytes(hashes []tlog.Hash) []byte {
	b := make([]byte, 0, len(hashes)*tlog.HashSize)
	for _, h := range hashes {
		b = append(b, h[:]...)
	}
	return b
}

// Audit appends entries to the log that go with no other change: looks and
// refusals. It returns after the commit.
func (s *Store) Audit(ctx context.Context, entries ...audit.Entry) error {
	if len(entries) == 0 {
		return nil
	}
	err := s.change(ctx, func(ctx context.Context, t *tx) error { return t.audit(ctx, entries...) })
	if err != nil {
		return fmt.Errorf("write the audit log: %w", notWritten(err))
	}
	return nil
}

// act runs a statement that changes rows and RETURNs each, with an entry for
// each that says what was done to it; entry leaves the actor out. It returns how
// many rows there were.
func (s *Store) act(ctx context.Context, query string, args []any, entry func(row) (audit.Entry, error)) (n int64, err error) {
	actor := audit.ActorOf(ctx)
	err = s.change(ctx, func(ctx context.Context, t *tx) error {
		return t.act(ctx, actor, query, args, entry, &n)
	})
	return n, err
}

// act is Store.act within a transaction; n counts after the next flush.
func (t *tx) act(ctx context.Context, actor audit.Actor, query string, args []any, entry func(row) (audit.Entry, error), n *int64) error {
	*n = 0
	return t.later(ctx, statement{query: query, args: slices.Clone(args), audits: true, scan: func(r row) error {
		*n++
		e, err := entry(r)
		if err != nil {
			return err
		}
		e.Actor = actor
		return t.audit(ctx, e)
	}})
}

const auditColumns = "seq, at, action, actor_kind, actor_name, actor_address, subject, reason, facts"

func scanAuditEntry(rows *sql.Rows, e *audit.Entry) error {
	var facts string
	err := rows.Scan(&e.Seq, timeInto{&e.At}, &e.Action, &e.Actor.Kind, &e.Actor.Name, &e.Actor.Address, &e.Subject, &e.Reason, &facts)
	if facts != "" {
		e.Facts = json.RawMessage(facts)
	}
	return err
}

// AuditEntries returns at most limit entries of the log in their order,
// beginning with the one whose Seq is from.
func (s *Store) AuditEntries(ctx context.Context, from int64, limit int) ([]audit.Entry, error) {
	var entries []audit.Entry
	err := s.each(ctx, "SELECT "+auditColumns+" FROM audit_entries WHERE seq >= ? ORDER BY seq LIMIT ?", []any{from, limit}, func(rows *sql.Rows) error {
		entries = append(entries, audit.Entry{})
		return scanAuditEntry(rows, &entries[len(entries)-1])
	})
	if err != nil {
		return nil, fmt.Errorf("read the audit log: %w", err)
	}
	return entries, nil
}

// FindAudit finds entries of the log, the last first. Limit must be from 1 to
// call.MaxLimit, or 0 for call.DefaultLimit; more says that there are others
// before them.
func (s *Store) FindAudit(ctx context.Context, f audit.Filter) (entries []audit.Entry, more bool, err error) {
	limit, err := pageSize(f.Limit)
	if err != nil {
		return nil, false, err
	}
	var c conditions
	begins := func(column, value, end string) {
		switch {
		case value == "":
		case strings.HasSuffix(value, end):
			// All that begin so sort between it and it with the next byte.
			c.add(column+" >= ?", value)
			c.add(column+" < ?", value[:len(value)-1]+string(end[0]+1))
		default:
			c.add(column+" = ?", value)
		}
	}
	begins("action", string(f.Action), ".")
	archived := f.Action == audit.RecordingArchived || f.Action == "recording."
	if f.Action != "" && !archived {
		c.add("action <> 'recording.archived'") // else the index of the others cannot be used
	}
	begins("subject", f.Subject, "/")
	if f.Subject != "" {
		c.add("subject <> ''")
	}
	if f.Actor != "" {
		c.add("actor_name = ?", f.Actor)
	}
	switch f.ActorKind {
	case "":
	case audit.KindSystem:
		c.add("actor_kind = 'system'")
	default:
		c.add("actor_kind = ?", f.ActorKind)
		c.add("actor_kind <> 'system'")
	}
	if !f.From.IsZero() {
		c.add("at >= ?", f.From.UnixMilli())
	}
	if !f.To.IsZero() {
		c.add("at < ?", f.To.UnixMilli())
	}
	if f.Before != nil {
		c.add("seq < ?", *f.Before)
	}
	err = s.each(ctx, "SELECT "+auditColumns+" FROM audit_entries"+c.where()+" ORDER BY seq DESC LIMIT ?", append(c.args, limit+1), func(rows *sql.Rows) error {
		entries = append(entries, audit.Entry{})
		return scanAuditEntry(rows, &entries[len(entries)-1])
	})
	if err != nil {
		return nil, false, fmt.Errorf("search the audit log: %w", err)
	}
	if len(entries) > limit {
		return entries[:limit], true, nil
	}
	return entries, false, nil
}

// AuditHead returns the log's head.
func (s *Store) AuditHead(ctx context.Context) (audit.Head, error) {
	var tree audit.Tree
	var edge []byte
	err := s.read.QueryRowContext(ctx, "SELECT size, edge FROM audit_head WHERE id = 0").Scan(&tree.Size, &edge)
	if err == nil {
		tree.Edge, err = readHashes(edge)
	}
	if err != nil {
		return audit.Head{}, fmt.Errorf("read the audit log's head: %w", err)
	}
	head, err := tree.Head()
	if err != nil {
		return head, fmt.Errorf("read the audit log's head: %w", err)
	}
	return head, nil
}

// AuditHeadAt returns the head that the log had when it had size entries, as
// its stored hashes tell; a size that it never had is a call.Invalid error.
func (s *Store) AuditHeadAt(ctx context.Context, size int64) (audit.Head, error) {
	if err := s.hadAuditSize(ctx, size); err != nil {
		return audit.Head{}, err
	}
	hash, err := tlog.TreeHash(size, s.auditHashes(ctx))
	if err != nil {
		return audit.Head{}, fmt.Errorf("compute the audit log's head: %w", err)
	}
	return audit.Head{Size: size, Hash: hash}, nil
}

// AuditProof proves that the entry seq is in the log as it was with size
// entries (tlog.CheckRecord). A place that is not in it is a call.Invalid
// error.
func (s *Store) AuditProof(ctx context.Context, size, seq int64) (tlog.RecordProof, error) {
	if err := s.hadAuditSize(ctx, size); err != nil {
		return nil, err
	}
	if seq < 0 || seq >= size {
		return nil, call.Errorf(call.Invalid, "a log of %d entries has no entry %d", size, seq)
	}
	proof, err := tlog.ProveRecord(size, seq, s.auditHashes(ctx))
	if err != nil {
		return nil, fmt.Errorf("prove an entry of the audit log: %w", err)
	}
	return proof, nil
}

// AuditConsistency proves that the log as it was with size entries begins with
// what it was with older entries (tlog.CheckTree). Both must be at least 1.
func (s *Store) AuditConsistency(ctx context.Context, size, older int64) (tlog.TreeProof, error) {
	if err := s.hadAuditSize(ctx, size); err != nil {
		return nil, err
	}
	if older < 1 || older > size {
		return nil, call.Errorf(call.Invalid, "a log of %d entries never began with %d", size, older)
	}
	proof, err := tlog.ProveTree(size, older, s.auditHashes(ctx))
	if err != nil {
		return nil, fmt.Errorf("prove that the audit log only grew: %w", err)
	}
	return proof, nil
}

func (s *Store) hadAuditSize(ctx context.Context, size int64) error {
	head, err := s.AuditHead(ctx)
	if err != nil {
		return err
	}
	if size < 0 || size > head.Size {
		return call.Errorf(call.Invalid, "the log has %d entries, and never had %d", head.Size, size)
	}
	return nil
}

// auditHashes reads the tree's stored hashes. Each lies with the entry that
// completed its subtree, by its level.
func (s *Store) auditHashes(ctx context.Context) tlog.HashReader {
	return tlog.HashReaderFunc(func(indexes []int64) ([]tlog.Hash, error) {
		if len(indexes) == 0 {
			return nil, nil
		}
		type place struct {
			seq   int64
			level int
		}
		places := make([]place, len(indexes))
		args := make([]any, len(indexes))
		for i, index := range indexes {
			level, n := tlog.SplitStoredHashIndex(index)
			places[i] = place{(n+1)<<level - 1, level}
			args[i] = places[i].seq
		}
		stored := map[int64][]tlog.Hash{}
		err := s.each(ctx, "SELECT seq, hashes FROM audit_entries WHERE seq IN (?"+strings.Repeat(",?", len(args)-1)+")", args, func(rows *sql.Rows) error {
			var seq int64
			var b []byte
			err := rows.Scan(&seq, &b)
			if err == nil {
				stored[seq], err = readHashes(b)
			}
			return err
		})
		if err != nil {
			return nil, err
		}
		hashes := make([]tlog.Hash, len(places))
		for i, p := range places {
			if p.level >= len(stored[p.seq]) {
				return nil, fmt.Errorf("entry %d of the audit log lacks its hashes", p.seq)
			}
			hashes[i] = stored[p.seq][p.level]
		}
		return hashes, nil
	})
}

// selectAudited is selectMany for recordings that are named again, with a scan
// that adds entries to the log.
func (t *tx) selectAudited(ctx context.Context, what, query string, keys []wantedAgain, scan func(row) error) error {
	before := len(t.waiting)
	err := selectMany(ctx, t, what, query, "ttt", keys, func(w wantedAgain, args []any) []any {
		return append(args, w.Source, string(w.Kind), w.account)
	}, scan)
	for i := before; i < len(t.waiting); i++ {
		t.waiting[i].audits = true
	}
	return err
}
