package console

import (
	"context"
	"encoding/json"
	"math"
	"net/http"
	"strconv"

	"callvault/internal/audit"
	"callvault/internal/call"

	"golang.org/x/mod/sumdb/tlog"
)

// AuditStore is the audit log.
type AuditStore interface {
	Audit(ctx context.Context, entries ...audit.Entry) error
	FindAudit(ctx context.Context, f audit.Filter) (entries []audit.Entry, more bool, err error)
	AuditHead(ctx context.Context) (audit.Head, error)
	AuditHeadAt(ctx context.Context, size int64) (audit.Head, error)
	AuditKey(ctx context.Context) (verifier string, err error)
	LastSeal(ctx context.Context) (note string, err error)
	AuditProof(ctx context.Context, size, seq int64) (tlog.RecordProof, error)
	AuditConsistency(ctx context.Context, size, older int64) (tlog.TreeProof, error)
}

// entryJSON is an entry as the API gives it: its canonical form with its hash.
type entryJSON struct {
	Seq     int64           `json:"seq"`
	At      *string         `json:"at"`
	Action  audit.Action    `json:"action"`
	Actor   actorJSON       `json:"actor"`
	Subject *string         `json:"subject"`
	Reason  *string         `json:"reason"`
	Facts   json.RawMessage `json:"facts"`
	// Hash is the leaf's, in base64; Record is what it is the hash of.
	Hash   string `json:"hash"`
	Record string `json:"record"`
}

type actorJSON struct {
	Kind    string  `json:"kind"`
	Name    *string `json:"name"`
	Address *string `json:"address"`
}

// mayAudit refuses whom the log is none of the business of.
func mayAudit(who call.Token) error {
	if !who.Role.MayHear() {
		return call.Errorf(call.Forbidden, "the audit log needs the role %s or %s", call.Compliance, call.Admin)
	}
	return needAllGroups(who, "the audit log")
}

func entryOf(e audit.Entry) (entryJSON, error) {
	record, err := e.Record()
	if err != nil {
		return entryJSON{}, err
	}
	facts := e.Facts
	if facts == nil {
		facts = []byte("{}")
	}
	return entryJSON{
		Seq: e.Seq, At: moment(e.At), Action: e.Action,
		Actor:   actorJSON{e.Actor.Kind, optional(e.Actor.Name), optional(e.Actor.Address)},
		Subject: optional(e.Subject), Reason: optional(e.Reason), Facts: facts,
		Hash: tlog.RecordHash(record).String(), Record: string(record),
	}, nil
}

func (c *Console) findAudit(w http.ResponseWriter, r *http.Request, who call.Token) error {
	if err := mayAudit(who); err != nil {
		return err
	}
	q := c.query(r)
	var f audit.Filter
	f.From, f.To = q.period()
	if f.Action = audit.Action(q.text("action")); f.Action != "" && !f.Action.IsKnown() {
		q.fault("there is no such action: docs/compliance.md lists them, as call.viewed, and recording. means all of a kind")
	}
	f.ActorKind = oneOf(q, "actor_kind", audit.KindUser, audit.KindToken, audit.KindCommand, audit.KindSystem, audit.KindStranger)
	f.Actor = q.text("actor")
	f.Subject = q.text("subject")
	var cursor string
	f.Limit, cursor = q.page()
	if cursor != "" {
		before, err := strconv.ParseInt(cursor, 10, 64)
		if err != nil || before < 0 {
			q.fault("cursor is not one of a page of this log")
		}
		f.Before = &before
	}
	if err := q.err(); err != nil {
		return err
	}
	if err := c.search(r, audit.LogSearched); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(r.Context(), questionLimit)
	defer cancel()
	found, more, err := c.store.FindAudit(ctx, f)
	if err != nil {
		return err
	}
	entries := make([]entryJSON, len(found))
	for i, e := range found {
		if entries[i], err = entryOf(e); err != nil {
			return err
		}
	}
	next := ""
	if more {
		next = strconv.FormatInt(found[len(found)-1].Seq, 10)
	}
	return writeJSON(w, struct {
		Entries    []entryJSON `json:"entries"`
		NextCursor *string     `json:"next_cursor"`
	}{entries, optional(next)})
}

func (c *Console) auditHead(w http.ResponseWriter, r *http.Request, who call.Token) error {
	if err := mayAudit(who); err != nil {
		return err
	}
	if err := c.query(r).err(); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(r.Context(), questionLimit)
	defer cancel()
	head, err := c.store.AuditHead(ctx)
	if err != nil {
		return err
	}
	key, err := c.store.AuditKey(ctx)
	if err != nil {
		return err
	}
	note, err := c.store.LastSeal(ctx)
	if err != nil {
		return err
	}
	fingerprint := ""
	if key != "" {
		fingerprint = audit.Fingerprint(key)
	}
	return writeJSON(w, struct {
		Size int64  `json:"size"`
		Root string `json:"root"`
		// Note is the last seal, which may be of a smaller log.
		Note        *string `json:"note"`
		Key         *string `json:"key"`
		Fingerprint *string `json:"fingerprint"`
	}{head.Size, head.Hash.String(), optional(note), optional(key), optional(fingerprint)})
}

func (c *Console) auditProof(w http.ResponseWriter, r *http.Request, who call.Token) error {
	if err := mayAudit(who); err != nil {
		return err
	}
	q := c.query(r)
	seq, older, size := q.place("seq"), q.place("older"), q.place("size")
	if seq != nil && older != nil {
		q.fault("give either seq (that an entry is in the log) or older (that the log only grew)")
	}
	if err := q.err(); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(r.Context(), questionLimit)
	defer cancel()
	if size == nil {
		head, err := c.store.AuditHead(ctx)
		if err != nil {
			return err
		}
		size = &head.Size
	}
	head, err := c.store.AuditHeadAt(ctx, *size)
	if err != nil {
		return err
	}
	var hashes []tlog.Hash
	switch {
	case seq != nil:
		hashes, err = c.store.AuditProof(ctx, *size, *seq)
	case older != nil:
		hashes, err = c.store.AuditConsistency(ctx, *size, *older)
	}
	if err != nil {
		return err
	}
	proof := make([]string, len(hashes))
	for i, h := range hashes {
		proof[i] = h.String()
	}
	return writeJSON(w, struct {
		Size  int64    `json:"size"`
		Root  string   `json:"root"`
		Seq   *int64   `json:"seq"`
		Older *int64   `json:"older"`
		Proof []string `json:"proof"`
	}{*size, head.Hash.String(), seq, older, proof})
}

// place is a place or a size in the log, nil if it is not given.
func (q *query) place(name string) *int64 {
	n := q.number(name, 0, math.MaxInt)
	if n == nil {
		return nil
	}
	return new(int64(*n))
}
