// Package audit has the words of the append-only log: who did or saw what,
// when, from where and why; how an entry is hashed, and how the log's head is
// signed. The log is a Merkle tree as of RFC 6962 section 2.1, whose leaves are
// the entries. There is no SQL here: package store keeps the log.
package audit

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"golang.org/x/mod/sumdb/tlog"
)

// Entry is one line of the log.
//
// Its canonical form is its JSON as encoding/json writes it: the fields in the
// order in which they stand here, without what is empty, without white space,
// and with <, > and & escaped. A test holds these bytes, for they are what is
// hashed.
type Entry struct {
	// Seq is its place in the log, from 0 and without gaps; the log gives it.
	Seq int64 `json:"seq"`
	// At is when it happened, in whole milliseconds UTC. The log gives its own
	// time, by the database's clock, to an entry that has none.
	At     time.Time `json:"at"`
	Action Action    `json:"action"`
	Actor  Actor     `json:"actor"`
	// Subject is what it was done to, as "recording/<id>"; it may be empty.
	Subject string `json:"subject,omitempty"`
	// Reason says why, for people.
	Reason string `json:"reason,omitempty"`
	// Facts is a JSON object. For a change it holds all that is needed to make
	// the changed row again, but no secrets.
	Facts json.RawMessage `json:"facts,omitempty"`
}

// New makes an entry, without actor, whose facts are those given as JSON; they
// must encode to an object.
func New(action Action, subject string, facts any) (Entry, error) {
	text, err := json.Marshal(facts)
	if err != nil {
		return Entry{}, fmt.Errorf("encode the facts of %s: %w", action, err)
	}
	return Entry{Action: action, Subject: subject, Facts: text}, nil
}

// Normal returns the entry in the one form that it is stored and hashed in:
// times in whole milliseconds UTC, texts in valid UTF-8 without NUL, facts
// without white space. An entry without action, or whose facts are not a JSON
// object, is an error.
func (e Entry) Normal() (Entry, error) {
	if e.Action == "" {
		return e, errors.New("an audit entry without action")
	}
	e.At = e.At.UTC().Truncate(time.Millisecond)
	e.Action = Action(clean(string(e.Action)))
	e.Actor = Actor{clean(e.Actor.Kind), clean(e.Actor.Name), clean(e.Actor.Address)}
	e.Subject, e.Reason = clean(e.Subject), clean(e.Reason)
	if len(e.Facts) == 0 {
		e.Facts = nil
		return e, nil
	}
	facts, err := json.Marshal(e.Facts) // compact, with <, > and & escaped
	if err != nil {
		return e, fmt.Errorf("the facts of %s: %w", e.Action, err)
	}
	facts = bytes.ToValidUTF8(facts, []byte("\uFFFD"))
	if facts[0] != '{' {
		return e, fmt.Errorf("the facts of %s are not a JSON object", e.Action)
	}
	e.Facts = facts
	return e, nil
}

// clean makes a text fit for every database, so that what is hashed is what is
// read back.
func clean(s string) string {
	return strings.ToValidUTF8(strings.ReplaceAll(s, "\x00", ""), "\uFFFD")
}

// Record returns the entry's canonical form, which is what the log hashes. It
// is one line of JSON, without the newline.
func (e Entry) Record() ([]byte, error) {
	normal, err := e.Normal()
	if err != nil {
		return nil, err
	}
	record, err := normal.encode()
	if err != nil {
		return nil, fmt.Errorf("encode audit entry %d: %w", e.Seq, err)
	}
	return record, nil
}

// encode writes an entry in its normal form as encoding/json does, but does not
// look through the facts once more: whole logs are hashed. They stand last.
func (e *Entry) encode() ([]byte, error) {
	head := *e
	head.Facts = nil
	record, err := json.Marshal(&head)
	if err != nil || e.Facts == nil {
		return record, err
	}
	return slices.Concat(record[:len(record)-1], []byte(`,"facts":`), e.Facts, []byte("}")), nil
}

// Hash returns the hash of the entry as a leaf of the tree: the SHA-256 of a
// zero byte and the entry's canonical form (RFC 6962 section 2.1).
func (e Entry) Hash() (tlog.Hash, error) {
	record, err := e.Record()
	if err != nil {
		return tlog.Hash{}, err
	}
	return tlog.RecordHash(record), nil
}

// The kinds of actors.
const (
	// KindUser is somebody who has logged in.
	KindUser = "user"
	// KindToken is a program that showed a bearer token.
	KindToken = "token"
	// KindCommand is somebody on the machine itself, by a command; the name is
	// that of the operating system's user.
	KindCommand = "command"
	// KindSystem is Callvault, by itself.
	KindSystem = "system"
	// KindStranger is somebody who showed nothing that is known.
	KindStranger = "stranger"
)

// Actor is who did something.
type Actor struct {
	Kind string `json:"kind"`
	Name string `json:"name,omitempty"`
	// Address is from where, as an IP address.
	Address string `json:"address,omitempty"`
}

type actorKey struct{}

// By returns a context in which actor is who acts.
func By(ctx context.Context, actor Actor) context.Context {
	return context.WithValue(ctx, actorKey{}, actor)
}

// ActorOf returns who acts in a context: Callvault itself, if nobody was named.
func ActorOf(ctx context.Context) Actor {
	if actor, ok := ctx.Value(actorKey{}).(Actor); ok {
		return actor
	}
	return Actor{Kind: KindSystem}
}

// Filter selects entries. Zero fields select all.
type Filter struct {
	// From and To bound At: From <= at < To.
	From, To time.Time
	// Action is one action, or with a dot at its end all that begin so, as
	// "recording.".
	Action Action
	// ActorKind and Actor are a kind and a name of actors.
	ActorKind, Actor string
	// Subject is one subject, or with a slash at its end all that begin so, as
	// "recording/".
	Subject string
	// Limit is how many are given at most; Before, if set, gives only those
	// whose Seq is less.
	Limit  int
	Before *int64
}
