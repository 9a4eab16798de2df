package console

import (
	"context"
	"errors"
	"net/http"
	"strings"

	"callvault/internal/call"

	"github.com/gorilla/mux"
)

// ErasureStore is what the API asks of the database about erasures.
type ErasureStore interface {
	ErasureTeller
	BeginErasure(ctx context.Context, number, reason string) (call.Erasure, error)
	Erasures(ctx context.Context) ([]call.Erasure, error)
}

// ErasureTeller says how one erasure stands.
type ErasureTeller interface {
	Erasure(ctx context.Context, id string) (call.Erasure, error)
	ErasureItems(ctx context.Context, id string, kind call.ErasureKind, after string, limit int, states ...call.ErasureState) ([]call.ErasureItem, error)
	CountErasureItems(ctx context.Context, id string) (map[call.ErasureKind]map[call.ErasureState]int64, error)
	ErasureReopenings(ctx context.Context, id string) ([]call.ErasureReopening, error)
}

// ErasureJSON is an erasure as the API and the command tell of it. It does not
// hold the number.
type ErasureJSON struct {
	ID         string                     `json:"id"`
	NumberHash string                     `json:"number_hash"`
	Reason     string                     `json:"reason"`
	State      string                     `json:"state"`
	AskedAt    *string                    `json:"asked_at"`
	AskedBy    string                     `json:"asked_by"`
	NextAt     *string                    `json:"next_at"`
	FinishedAt *string                    `json:"finished_at"`
	Erased     map[call.ErasureKind]int64 `json:"erased"`
	Due        int64                      `json:"due"`
	// Kept are the first of what is kept, KeptCount is how many there are.
	Kept        []KeptJSON `json:"kept"`
	KeptCount   int64      `json:"kept_count"`
	Certificate *string    `json:"certificate"`
	// FoundLater says what a certificate that had been issued did not know.
	FoundLater []FoundLaterJSON `json:"found_later"`
}

// FoundLaterJSON are calls that turned out to be one with erased ones after a
// certificate had said that all was gone.
type FoundLaterJSON struct {
	At *string `json:"at"`
	// Calls are the ids of the calls that they are parts of.
	Calls       []string `json:"calls"`
	Certificate string   `json:"certificate"`
}

// KeptJSON is what an erasure could not erase yet.
type KeptJSON struct {
	Kind  call.ErasureKind `json:"kind"`
	Ref   string           `json:"ref"`
	Until *string          `json:"until"`
	Why   string           `json:"why"`
}

// maxKept is how many kept items of a kind are told.
const maxKept = 100

// ErasureOf tells how an erasure stands.
func ErasureOf(ctx context.Context, s ErasureTeller, id string) (ErasureJSON, error) {
	e, err := s.Erasure(ctx, id)
	if err != nil {
		return ErasureJSON{}, err
	}
	answer := ErasureJSON{
		ID: e.ID, NumberHash: e.NumberHash, Reason: e.Reason, State: "open", AskedAt: moment(e.AskedAt), AskedBy: e.AskedBy,
		NextAt: moment(e.NextAt), FinishedAt: moment(e.FinishedAt), Erased: map[call.ErasureKind]int64{}, Kept: []KeptJSON{}, FoundLater: []FoundLaterJSON{},
	}
	if !e.FinishedAt.IsZero() {
		answer.State = "done"
	}
	if e.Certificate != "" {
		answer.Certificate = optional(e.Certificate + ".txt")
	}
	later, err := s.ErasureReopenings(ctx, id)
	if err != nil {
		return answer, err
	}
	for _, l := range later {
		answer.FoundLater = append(answer.FoundLater, FoundLaterJSON{moment(l.At), list(l.CallIDs), l.Certificate + ".txt"})
	}
	counts, err := s.CountErasureItems(ctx, id)
	if err != nil {
		return answer, err
	}
	for _, kind := range call.ErasureKinds() {
		answer.Erased[kind] = counts[kind][call.ErasureDone]
		answer.Due += counts[kind][call.ErasureDue]
		answer.KeptCount += counts[kind][call.ErasureKept]
		if counts[kind][call.ErasureKept] == 0 {
			continue
		}
		items, err := s.ErasureItems(ctx, id, kind, "", maxKept, call.ErasureKept)
		if err != nil {
			return answer, err
		}
		for _, i := range items {
			answer.Kept = append(answer.Kept, KeptJSON{i.Kind, i.Ref, moment(i.Until), i.Why})
		}
	}
	return answer, nil
}

func (c *Console) findErasures(w http.ResponseWriter, r *http.Request, who call.Token) error {
	if err := errors.Join(c.query(r).err(), needKeeper(who)); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(r.Context(), questionLimit)
	defer cancel()
	found, err := c.store.Erasures(ctx)
	if err != nil {
		return err
	}
	rows := make([]ErasureJSON, len(found))
	for i, e := range found {
		if rows[i], err = ErasureOf(ctx, c.store, e.ID); err != nil {
			return err
		}
	}
	return writeJSON(w, struct {
		Erasures []ErasureJSON `json:"erasures"`
	}{rows})
}

func (c *Console) erasure(w http.ResponseWriter, r *http.Request, who call.Token) error {
	if err := errors.Join(c.query(r).err(), needKeeper(who)); err != nil {
		return err
	}
	return c.tellErasure(w, r, mux.Vars(r)["id"])
}

func (c *Console) tellErasure(w http.ResponseWriter, r *http.Request, id string) error {
	if !printable(id) {
		return call.Errorf(call.NotFound, "there is no erasure with this id")
	}
	ctx, cancel := context.WithTimeout(r.Context(), questionLimit)
	defer cancel()
	answer, err := ErasureOf(ctx, c.store, id)
	if err != nil {
		return err
	}
	return writeJSON(w, answer)
}

func (c *Console) beginErasure(w http.ResponseWriter, r *http.Request, who call.Token) error {
	if err := errors.Join(c.query(r).err(), needKeeper(who)); err != nil {
		return err
	}
	var asked struct {
		Number string `json:"number"`
		Reason string `json:"reason"`
	}
	if err := readJSON(r, &asked); err != nil {
		return err
	}
	number := asked.Number
	switch {
	case !strings.HasPrefix(number, "+") || strings.Trim(number[1:], "0123456789") != "":
		return call.Errorf(call.Invalid, "number must be + and digits with the country code, such as +919812345678")
	case call.CheckReason(asked.Reason) != nil:
		return call.CheckReason(asked.Reason)
	case call.NewRedactor(number, nil).IsNamed(asked.Reason):
		return call.Errorf(call.Invalid, "reason must not name the number: it is kept")
	}
	ctx, cancel := context.WithTimeout(r.Context(), questionLimit)
	defer cancel()
	e, err := c.store.BeginErasure(ctx, number, asked.Reason)
	if err != nil {
		return err
	}
	return c.tellErasure(w, r, e.ID)
}
