package console

import (
	"cmp"
	"context"
	"math"
	"net/http"

	"callvault/internal/audit"
	"callvault/internal/call"

	"github.com/gorilla/mux"
)

type agentJSON struct {
	ID     *string `json:"id"`
	Name   *string `json:"name"`
	Number *string `json:"number"`
}

func agentOf(a call.Agent) agentJSON {
	return agentJSON{optional(a.ID), optional(a.Name), optional(a.Number)}
}

type callJSON struct {
	ID             string          `json:"id"`
	Account        string          `json:"account"`
	Provider       call.Provider   `json:"provider"`
	CallKey        string          `json:"call_key"`
	Direction      *call.Direction `json:"direction"`
	Outcome        *call.Outcome   `json:"outcome"`
	ProviderStatus *string         `json:"provider_status"`
	CustomerNumber *string         `json:"customer_number"`
	BusinessNumber *string         `json:"business_number"`
	Agent          agentJSON       `json:"agent"`
	Group          *string         `json:"group"`
	Campaign       *string         `json:"campaign"`
	StartedAt      *string         `json:"started_at"`
	AnsweredAt     *string         `json:"answered_at"`
	EndedAt        *string         `json:"ended_at"`
	WaitSeconds    *int            `json:"wait_seconds"`
	TalkSeconds    *int            `json:"talk_seconds"`
	TotalSeconds   *int            `json:"total_seconds"`
	HangupCause    *string         `json:"hangup_cause"`
	HangupBy       *string         `json:"hangup_by"`
	Cost           *string         `json:"cost"`
	LegsCount      int             `json:"legs_count"`
	Recordings     []recordingJSON `json:"recordings"`
}

// callOf tells of a call; holds are those that keep it.
func (c *Console) callOf(of call.CallWithRecordings, holds []callHoldJSON, who call.Token) callJSON {
	return callJSON{
		ID:             of.ID,
		Account:        of.Account,
		Provider:       of.Provider,
		CallKey:        of.Key,
		Direction:      optional(of.Direction),
		Outcome:        optional(of.Outcome),
		ProviderStatus: optional(of.Status),
		CustomerNumber: optional(of.CustomerNumber),
		BusinessNumber: optional(of.BusinessNumber),
		Agent:          agentOf(of.Agent),
		Group:          optional(of.Group),
		Campaign:       optional(of.Campaign),
		StartedAt:      moment(of.StartedAt),
		AnsweredAt:     moment(of.AnsweredAt),
		EndedAt:        moment(of.EndedAt),
		WaitSeconds:    of.WaitSeconds,
		TalkSeconds:    of.TalkSeconds,
		TotalSeconds:   of.TotalSeconds,
		HangupCause:    optional(of.HangupCause),
		HangupBy:       optional(of.HangupBy),
		Cost:           optional(of.Cost),
		LegsCount:      of.LegsCount,
		Recordings:     c.recordingsOf(of, holds, who),
	}
}

type callDetailJSON struct {
	callJSON
	Legs       []legJSON      `json:"legs"`
	Deliveries []deliveryJSON `json:"deliveries"`
	// Holds are the legal cases that keep the call from being deleted; null for
	// those who may not listen to it.
	Holds []callHoldJSON `json:"holds"`
}

func (c *Console) findCalls(w http.ResponseWriter, r *http.Request, who call.Token) error {
	f, err := c.callFilter(r)
	if err != nil {
		return err
	}
	f.Groups = who.Groups
	if err := c.search(r, audit.CallsSearched); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(r.Context(), questionLimit)
	defer cancel()
	found, next, err := c.store.FindCalls(ctx, f)
	if err != nil {
		return err
	}
	ids := make([]string, len(found))
	for i, f := range found {
		ids[i] = f.ID
	}
	holds, err := c.holdsOf(ctx, ids, who)
	if err != nil {
		return err
	}
	calls := make([]callJSON, len(found))
	for i, f := range found {
		calls[i] = c.callOf(f, holds[f.ID], who)
	}
	return writeJSON(w, struct {
		Calls      []callJSON `json:"calls"`
		NextCursor *string    `json:"next_cursor"`
	}{calls, optional(next)})
}

// callFilter reads the parameters of a search for calls.
func (c *Console) callFilter(r *http.Request) (call.Filter, error) {
	q := c.query(r)
	var f call.Filter
	f.From, f.To = q.period()
	f.Text = q.text("q")
	f.Number = q.text("number")
	f.Agent = q.text("agent")
	f.Group = q.text("group")
	f.Account = q.text("account")
	f.Direction = oneOf(q, "direction", call.Inbound, call.Outbound)
	f.Outcome = oneOf(q, "outcome", call.Outcomes()...)
	f.Campaign = q.text("campaign")
	f.Recording = oneOf(q, "recording", append(call.RecordingStates(), call.RecordingNone)...)
	f.Audio = oneOf(q, "audio", call.AudioFaults()...)
	f.MinTalk = q.number("min_talk", 0, math.MaxInt32)
	f.MaxTalk = q.number("max_talk", 0, math.MaxInt32)
	f.Sort = oneOf(q, "sort", call.NewestFirst, call.OldestFirst)
	f.Limit, f.Cursor = q.page()
	return f, cmp.Or(q.err(), f.Check())
}

func (c *Console) call(w http.ResponseWriter, r *http.Request, who call.Token) error {
	answer, err := c.viewCall(r, who)
	if err != nil {
		return err
	}
	return writeJSON(w, answer)
}

// viewCall is the call that is asked for, as far as one may see it who then has.
func (c *Console) viewCall(r *http.Request, who call.Token) (callDetailJSON, error) {
	if err := c.query(r).err(); err != nil {
		return callDetailJSON{}, err
	}
	detail, err := c.visibleCall(r.Context(), mux.Vars(r)["id"], who)
	if err != nil {
		return callDetailJSON{}, err
	}
	if err := c.look(r, audit.CallViewed, "call/"+detail.ID, nil); err != nil {
		return callDetailJSON{}, err
	}
	ctx, cancel := context.WithTimeout(r.Context(), questionLimit)
	defer cancel()
	holds, err := c.holdsOf(ctx, []string{detail.ID}, who)
	if err != nil {
		return callDetailJSON{}, err
	}
	answer := callDetailJSON{
		callJSON:   c.callOf(detail.CallWithRecordings, holds[detail.ID], who),
		Legs:       legsOf(detail, who),
		Deliveries: make([]deliveryJSON, len(detail.Deliveries)),
		Holds:      holds[detail.ID],
	}
	for i, d := range detail.Deliveries {
		answer.Deliveries[i] = deliveryOf(d)
		if len(who.Groups) > 0 { // a batch may tell of other groups' calls, too
			answer.Deliveries[i].CallIDs = []string{detail.ID}
		}
	}
	return answer, nil
}

// visibleCall finds a call that the token may see. One that it may not see is
// not found: its existence is already a fact about another group.
func (c *Console) visibleCall(ctx context.Context, id string, who call.Token) (call.CallDetail, error) {
	none := call.Errorf(call.NotFound, "there is no such call")
	if !printable(id) {
		return call.CallDetail{}, none
	}
	ctx, cancel := context.WithTimeout(ctx, questionLimit)
	defer cancel()
	detail, err := c.store.Call(ctx, id)
	switch {
	case call.CodeOf(err) == call.NotFound:
		return call.CallDetail{}, none
	case err == nil && !maySee(who, detail.Group):
		return call.CallDetail{}, hidden{none}
	}
	return detail, err
}
