package console

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"strings"
	"time"

	"callvault/internal/audit"
	"callvault/internal/call"

	"github.com/gorilla/mux"
)

// KeepStore is what the API asks of the database about what must stay and what
// must go.
type KeepStore interface {
	HoldStore
	ErasureStore
}

// HoldStore is what the API asks of the database about legal holds.
type HoldStore interface {
	Holds(ctx context.Context) ([]call.Hold, error)
	Hold(ctx context.Context, name string) (call.Hold, error)
	HoldStats(ctx context.Context, h call.Hold) (call.HoldStats, error)
	HeldBy(ctx context.Context, callIDs []string) (map[string][]call.Hold, error)
	PlaceHold(ctx context.Context, h call.Hold) (call.Hold, error)
	ReleaseHold(ctx context.Context, name, reason string, twoPerson bool) (call.Hold, error)
	WithdrawRelease(ctx context.Context, name, reason string) (call.Hold, error)
}

// HoldJSON is a legal hold as the API and the commands tell of it.
type HoldJSON struct {
	ID        string  `json:"id"`
	Name      string  `json:"name"`
	Reason    string  `json:"reason"`
	State     string  `json:"state"`
	PlacedAt  *string `json:"placed_at"`
	PlacedBy  string  `json:"placed_by"`
	TwoPerson bool    `json:"two_person"`
	// Filter has the names and values of a search; null: calls were named.
	Filter  *call.Filter     `json:"filter"`
	CallIDs []string         `json:"call_ids"`
	Until   *string          `json:"until"`
	Filled  bool             `json:"filled"`
	Asked   *holdReleaseJSON `json:"release_asked"`
	Ended   *holdReleaseJSON `json:"released"`

	Calls      int64 `json:"calls"`
	Recordings int64 `json:"recordings"`
	Bytes      int64 `json:"bytes"`
	// NotPushed is null where the vault has no locks.
	NotPushed *int64 `json:"not_pushed"`
}

type holdReleaseJSON struct {
	At     *string `json:"at"`
	By     string  `json:"by"`
	Reason string  `json:"reason"`
}

func releaseOf(r *call.HoldRelease) *holdReleaseJSON {
	if r == nil {
		return nil
	}
	return &holdReleaseJSON{moment(r.At), r.By, r.Reason}
}

// HoldOf tells of a hold and what it keeps; locks: the vault has legal holds of
// its own.
func HoldOf(h call.Hold, n call.HoldStats, locks bool) HoldJSON {
	answer := HoldJSON{
		ID: h.ID, Name: h.Name, Reason: h.Reason, State: holdState(&h), PlacedAt: moment(h.PlacedAt), PlacedBy: h.PlacedBy,
		TwoPerson: h.TwoPerson, Filter: h.Filter, CallIDs: list(h.CallIDs), Until: moment(h.Until),
		Filled: h.Filter == nil || !h.FilledAt.IsZero(), Asked: releaseOf(h.Asked), Ended: releaseOf(h.Released),
		Calls: n.Calls, Recordings: n.Recordings, Bytes: n.Bytes,
	}
	if locks {
		answer.NotPushed = &n.NotPushed
	}
	return answer
}

func holdState(h *call.Hold) string {
	switch {
	case !h.InForce():
		return "released"
	case h.Asked != nil:
		return "release_asked"
	}
	return "in_force"
}

// callHoldJSON is a hold as it stands at a call.
type callHoldJSON struct {
	Name     string  `json:"name"`
	Reason   string  `json:"reason"`
	PlacedAt *string `json:"placed_at"`
}

// holdsOf are the holds that keep calls, by the call's id; none for those who
// must not know why it is kept.
func (c *Console) holdsOf(ctx context.Context, ids []string, who call.Token) (map[string][]callHoldJSON, error) {
	holds := make(map[string][]callHoldJSON, len(ids))
	if !who.Role.MayHear() || len(ids) == 0 {
		return holds, nil
	}
	held, err := c.store.HeldBy(ctx, ids)
	if err != nil {
		return nil, err
	}
	for _, id := range ids {
		holds[id] = []callHoldJSON{}
		for _, h := range held[id] {
			holds[id] = append(holds[id], callHoldJSON{h.Name, h.Reason, moment(h.PlacedAt)})
		}
	}
	return holds, nil
}

// needKeeper refuses whom holds and erasures are none of the business of.
func needKeeper(who call.Token) error {
	if who.Role != call.Compliance && who.Role != call.Admin {
		return call.Errorf(call.Forbidden, "this needs a token with the role compliance or admin")
	}
	return needAllGroups(who, "it")
}

func (c *Console) findHolds(w http.ResponseWriter, r *http.Request, who call.Token) error {
	if err := errors.Join(c.query(r).err(), needKeeper(who)); err != nil {
		return err
	}
	if err := c.listen(r, audit.HoldsViewed, "", nil); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(r.Context(), questionLimit)
	defer cancel()
	holds, err := c.store.Holds(ctx)
	if err != nil {
		return err
	}
	rows := make([]HoldJSON, len(holds))
	for i, h := range holds {
		n, err := c.store.HoldStats(ctx, h)
		if err != nil {
			return err
		}
		rows[i] = HoldOf(h, n, c.locks)
	}
	return writeJSON(w, struct {
		Holds []HoldJSON `json:"holds"`
	}{rows})
}

func (c *Console) hold(w http.ResponseWriter, r *http.Request, who call.Token) error {
	if err := errors.Join(c.query(r).err(), needKeeper(who)); err != nil {
		return err
	}
	name := mux.Vars(r)["name"]
	if !printable(name) {
		return call.Errorf(call.NotFound, "there is no such hold")
	}
	ctx, cancel := context.WithTimeout(r.Context(), questionLimit)
	defer cancel()
	h, err := c.store.Hold(ctx, name)
	if err == nil {
		err = c.listen(r, audit.HoldsViewed, "hold/"+h.ID, nil)
	}
	if err != nil {
		return err
	}
	return c.tellHold(w, r, name)
}

func (c *Console) tellHold(w http.ResponseWriter, r *http.Request, name string) error {
	ctx, cancel := context.WithTimeout(r.Context(), questionLimit)
	defer cancel()
	h, err := c.store.Hold(ctx, name)
	if err != nil {
		return err
	}
	n, err := c.store.HoldStats(ctx, h)
	if err != nil {
		return err
	}
	return writeJSON(w, HoldOf(h, n, c.locks))
}

// maxNamedCalls is how many calls a hold can name.
const maxNamedCalls = 500

func (c *Console) placeHold(w http.ResponseWriter, r *http.Request, who call.Token) error {
	if err := errors.Join(c.query(r).err(), needKeeper(who)); err != nil {
		return err
	}
	var asked struct {
		Name    string       `json:"name"`
		Reason  string       `json:"reason"`
		Filter  *call.Filter `json:"filter"`
		CallIDs []string     `json:"call_ids"`
		OnlyNow bool         `json:"only_now"`
		Until   time.Time    `json:"until"`
	}
	if err := readJSON(r, &asked); err != nil {
		return err
	}
	h := call.Hold{Name: asked.Name, Reason: asked.Reason, Filter: asked.Filter, CallIDs: asked.CallIDs, Until: asked.Until, TwoPerson: c.twoPerson}
	if err := h.Check(); err != nil {
		return err
	}
	switch {
	case (len(asked.CallIDs) > 0) == (asked.Filter != nil):
		return call.Errorf(call.Invalid, "give either call_ids or filter")
	case len(asked.CallIDs) > maxNamedCalls:
		return call.Errorf(call.Invalid, "at most %d calls can be named; a filter selects more", maxNamedCalls)
	case asked.Filter == nil && (asked.OnlyNow || !asked.Until.IsZero()), asked.OnlyNow && !asked.Until.IsZero():
		return call.Errorf(call.Invalid, "of only_now and until one can be given, with a filter")
	case asked.Filter != nil:
		if err := checkFilter(*asked.Filter); err != nil {
			return err
		}
	}
	if asked.OnlyNow {
		h.Until = c.now()
	}
	ctx, cancel := context.WithTimeout(r.Context(), questionLimit)
	defer cancel()
	if _, err := c.store.PlaceHold(ctx, h); err != nil {
		return err
	}
	return c.tellHold(w, r, h.Name)
}

// checkFilter takes what a search takes, and not nothing.
func checkFilter(f call.Filter) error {
	asked := call.Filter{
		From: f.From, To: f.To, Text: f.Text, Number: f.Number, Agent: f.Agent, Group: f.Group, Account: f.Account,
		Direction: f.Direction, Outcome: f.Outcome, Campaign: f.Campaign, Recording: f.Recording, MinTalk: f.MinTalk, MaxTalk: f.MaxTalk,
	}
	text, err := json.Marshal(asked)
	if err != nil {
		return err
	}
	whole, err := json.Marshal(f)
	switch {
	case err != nil:
		return err
	case string(text) == "{}":
		return call.Errorf(call.Invalid, "filter must select some calls: for all, give from")
	case string(text) != string(whole):
		return call.Errorf(call.Invalid, "filter takes from, to, q, number, agent, group, account, direction, outcome, campaign, recording, min_talk and max_talk")
	}
	return f.Check()
}

func (c *Console) releaseHold(w http.ResponseWriter, r *http.Request, who call.Token) error {
	if err := errors.Join(c.query(r).err(), needKeeper(who)); err != nil {
		return err
	}
	var asked struct {
		Reason   string `json:"reason"`
		Withdraw bool   `json:"withdraw"`
	}
	if err := readJSON(r, &asked); err != nil {
		return err
	}
	if err := call.CheckReason(asked.Reason); err != nil {
		return err
	}
	name := mux.Vars(r)["name"]
	if !printable(name) {
		return call.Errorf(call.NotFound, "there is no such hold")
	}
	ctx, cancel := context.WithTimeout(r.Context(), questionLimit)
	defer cancel()
	var err error
	if asked.Withdraw {
		_, err = c.store.WithdrawRelease(ctx, name, asked.Reason)
	} else {
		_, err = c.store.ReleaseHold(ctx, name, asked.Reason, c.twoPerson)
	}
	if err != nil {
		return err
	}
	return c.tellHold(w, r, name)
}

// maxRequestBody bounds what is sent with a request, in bytes.
const maxRequestBody = 256 << 10

// readJSON reads the one JSON object that a request brings; a field that is not
// known is an error, so that no wish gets lost.
func readJSON(r *http.Request, v any) error {
	body, err := io.ReadAll(io.LimitReader(r.Body, maxRequestBody+1))
	if err != nil {
		return call.Errorf(call.Invalid, "the body could not be read")
	}
	if len(body) > maxRequestBody {
		return call.Errorf(call.TooLarge, "the body is larger than %d bytes", maxRequestBody)
	}
	d := json.NewDecoder(strings.NewReader(string(body)))
	d.DisallowUnknownFields()
	if err := d.Decode(v); err != nil || d.More() {
		return call.Errorf(call.Invalid, "the body must be one JSON object with the fields that openapi.json describes")
	}
	return nil
}
