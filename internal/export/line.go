package export

import (
	"encoding/json"
	"time"

	"callvault/internal/call"
)

// agentLine, legLine, recordingLine and callLine are a call as calls.jsonl has
// it, one a line: the fields of the JSON API, with the files of the bundle.
type agentLine struct {
	ID     string `json:"id,omitempty"`
	Name   string `json:"name,omitempty"`
	Number string `json:"number,omitempty"`
}

type legLine struct {
	LegKey      string          `json:"leg_key"`
	Leg         call.Side       `json:"leg,omitempty"`
	Status      string          `json:"status,omitempty"`
	Agent       agentLine       `json:"agent"`
	StartedAt   *time.Time      `json:"started_at"`
	AnsweredAt  *time.Time      `json:"answered_at"`
	EndedAt     *time.Time      `json:"ended_at"`
	TalkSeconds *int            `json:"talk_seconds"`
	HangupCause string          `json:"hangup_cause,omitempty"`
	Attributes  call.Attributes `json:"attributes,omitempty"`
}

type recordingLine struct {
	ID           string              `json:"id"`
	Kind         call.RecordingKind  `json:"kind"`
	State        call.RecordingState `json:"state"`
	Source       string              `json:"source,omitempty"`
	ObjectKey    string              `json:"object_key,omitempty"`
	Size         int64               `json:"size,omitempty"`
	SHA256       string              `json:"sha256,omitempty"`
	MediaType    string              `json:"media_type,omitempty"`
	AudioSeconds *int                `json:"audio_seconds"`
	ArchivedAt   *time.Time          `json:"archived_at"`
	RetainUntil  *time.Time          `json:"retain_until"`
	Reason       string              `json:"reason,omitempty"`
	// File is where the audio lies in the bundle; empty: see missing.csv.
	File string `json:"file,omitempty"`
}

type callLine struct {
	ID             string          `json:"id"`
	Account        string          `json:"account"`
	Provider       call.Provider   `json:"provider"`
	CallKey        string          `json:"call_key"`
	Direction      call.Direction  `json:"direction,omitempty"`
	Outcome        call.Outcome    `json:"outcome,omitempty"`
	ProviderStatus string          `json:"provider_status,omitempty"`
	CustomerNumber string          `json:"customer_number,omitempty"`
	BusinessNumber string          `json:"business_number,omitempty"`
	Agent          agentLine       `json:"agent"`
	Group          string          `json:"group,omitempty"`
	Campaign       string          `json:"campaign,omitempty"`
	StartedAt      *time.Time      `json:"started_at"`
	AnsweredAt     *time.Time      `json:"answered_at"`
	EndedAt        *time.Time      `json:"ended_at"`
	WaitSeconds    *int            `json:"wait_seconds"`
	TalkSeconds    *int            `json:"talk_seconds"`
	TotalSeconds   *int            `json:"total_seconds"`
	HangupCause    string          `json:"hangup_cause,omitempty"`
	HangupBy       string          `json:"hangup_by,omitempty"`
	Cost           string          `json:"cost,omitempty"`
	LegsCount      int             `json:"legs_count"`
	Legs           []legLine       `json:"legs"`
	Recordings     []recordingLine `json:"recordings"`
	// Deliveries are the numbers of those of deliveries.jsonl that told of
	// the call.
	Deliveries []int64 `json:"deliveries"`
}

func agentOf(a call.Agent) agentLine { return agentLine{a.ID, a.Name, a.Number} }

// moment is nil for a time that is not known.
func moment(t time.Time) *time.Time {
	if t.IsZero() {
		return nil
	}
	utc := t.UTC().Truncate(time.Millisecond)
	return &utc
}

func callOf(d *call.CallDetail, zone *time.Location) callLine {
	line := callLine{
		ID: d.ID, Account: d.Account, Provider: d.Provider, CallKey: d.Key, Direction: d.Direction, Outcome: d.Outcome,
		ProviderStatus: d.Status, CustomerNumber: d.CustomerNumber, BusinessNumber: d.BusinessNumber, Agent: agentOf(d.Agent),
		Group: d.Group, Campaign: d.Campaign, StartedAt: moment(d.StartedAt), AnsweredAt: moment(d.AnsweredAt), EndedAt: moment(d.EndedAt),
		WaitSeconds: d.WaitSeconds, TalkSeconds: d.TalkSeconds, TotalSeconds: d.TotalSeconds,
		HangupCause: d.HangupCause, HangupBy: d.HangupBy, Cost: d.Cost, LegsCount: d.LegsCount,
		Legs: make([]legLine, len(d.Legs)), Recordings: make([]recordingLine, len(d.Recordings)), Deliveries: make([]int64, len(d.Deliveries)),
	}
	for i, l := range d.Legs {
		line.Legs[i] = legLine{
			LegKey: l.Key, Leg: l.Side, Status: l.Status, Agent: agentOf(l.Agent),
			StartedAt: moment(l.StartedAt), AnsweredAt: moment(l.AnsweredAt), EndedAt: moment(l.EndedAt),
			TalkSeconds: l.TalkSeconds, HangupCause: l.HangupCause, Attributes: l.Attributes,
		}
	}
	for i := range d.Recordings {
		r := &d.Recordings[i]
		line.Recordings[i] = recordingLine{
			ID: r.ID, Kind: r.Kind, State: r.State, Source: r.Source, ObjectKey: r.ObjectKey, Size: r.Size, SHA256: r.SHA256,
			MediaType: r.MediaType, AudioSeconds: r.AudioSeconds, ArchivedAt: moment(r.ArchivedAt), RetainUntil: moment(r.RetainUntil),
			Reason: r.Reason, File: audioName(&d.Call, r, zone),
		}
	}
	for i := range d.Deliveries {
		line.Deliveries[i] = d.Deliveries[i].ID
	}
	return line
}

// deliveryLine is a delivery as deliveries.jsonl has it.
type deliveryLine struct {
	ID            int64                `json:"id"`
	Account       string               `json:"account"`
	Source        call.DeliverySource  `json:"source"`
	ReceivedAt    *time.Time           `json:"received_at"`
	Method        string               `json:"method,omitempty"`
	ContentType   string               `json:"content_type,omitempty"`
	Query         string               `json:"query,omitempty"`
	RemoteAddress string               `json:"remote_address,omitempty"`
	Outcome       call.DeliveryOutcome `json:"outcome"`
	Error         string               `json:"error,omitempty"`
	CallIDs       []string             `json:"call_ids"`
	BodySHA256    string               `json:"body_sha256"`
	// Body is the body if it is UTF-8, else BodyBase64 is.
	Body       string `json:"body,omitempty"`
	BodyBase64 []byte `json:"body_base64,omitempty"`
}

// custodyLine is an entry of the audit log as custody.jsonl has it: in the very
// bytes that were hashed, and the proof that they are in the log whose signed
// head the manifest has (RFC 6962 section 2.1.1; hashes in base64).
type custodyLine struct {
	Entry json.RawMessage `json:"entry"`
	Proof []string        `json:"proof"`
}
