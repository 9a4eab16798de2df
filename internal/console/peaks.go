package console

import (
	"context"
	"net/http"

	"callvault/internal/audit"
	"callvault/internal/call"

	"github.com/gorilla/mux"
)

type peaksJSON struct {
	State      call.AnalysisState `json:"state"`
	Reason     *string            `json:"reason"`
	AnalysedAt *string            `json:"analysed_at"`
	Channels   []channelJSON      `json:"channels"`
}

type channelJSON struct {
	Silence float64 `json:"silence"`
	Peaks   []int   `json:"peaks"`
}

// peaks tells how a recording sounds, to those who may listen to it.
func (c *Console) peaks(w http.ResponseWriter, r *http.Request, who call.Token) error {
	if !who.Role.MayHear() {
		return call.Errorf(call.Forbidden, "the waveform of recordings needs the role %s or %s", call.Compliance, call.Admin)
	}
	if err := c.query(r).err(); err != nil {
		return err
	}
	rec, _, err := c.visibleRecording(r.Context(), mux.Vars(r)["id"], who)
	if err != nil {
		return err
	}
	if rec.State != call.Archived {
		return call.Errorf(call.NotFound, "the recording is %s: there is no audio", rec.State)
	}
	ctx, cancel := context.WithTimeout(r.Context(), questionLimit)
	defer cancel()
	a, err := c.store.Analysis(ctx, rec.ID)
	if err != nil {
		return err
	}
	if err := c.look(r, audit.WaveformViewed, "recording/"+rec.ID, map[string]any{"call_id": rec.CallID}); err != nil {
		return err
	}
	answer := peaksJSON{State: a.State, Reason: optional(a.Reason), AnalysedAt: moment(a.AnalysedAt), Channels: make([]channelJSON, len(a.Peaks))}
	for i, peaks := range a.Peaks {
		answer.Channels[i] = channelJSON{a.Silence[i], make([]int, len(peaks))}
		for j, p := range peaks {
			answer.Channels[i].Peaks[j] = int(p)
		}
	}
	return writeJSON(w, answer)
}
