package console

import (
	"context"
	"net/http"
	"time"

	"callvault/internal/call"
)

type readinessJSON struct {
	Account      string        `json:"account"`
	Observations int64         `json:"observations"`
	Learned      bool          `json:"learned"`
	Median       int           `json:"median_seconds"`
	P90          int           `json:"p90_seconds"`
	UpdatedAt    *string       `json:"updated_at"`
	Ready        []readyByJSON `json:"ready"`
}

// readyByJSON is the share of recordings that are ready so long after the end
// of their call.
type readyByJSON struct {
	Seconds int     `json:"seconds"`
	Share   float64 `json:"share"`
}

// readiness tells how long after the end of a call recordings are ready, as
// was learned of each account.
func (c *Console) readiness(w http.ResponseWriter, r *http.Request, who call.Token) error {
	if err := needAllGroups(who, aboutDeliveries); err != nil {
		return err
	}
	if err := c.query(r).err(); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(r.Context(), questionLimit)
	defer cancel()
	known, err := c.store.Readiness(ctx)
	if err != nil {
		return err
	}
	accounts := make([]readinessJSON, len(known))
	for i := range known {
		k := &known[i]
		accounts[i] = readinessJSON{
			Account: k.Account, Observations: k.Observations, Learned: k.Learned(),
			Median: wholeSeconds(k.Quantile(0.5)), P90: wholeSeconds(k.Quantile(0.9)), UpdatedAt: moment(k.UpdatedAt),
		}
		for _, bound := range call.ReadyBounds() {
			accounts[i].Ready = append(accounts[i].Ready, readyByJSON{wholeSeconds(bound), k.ReadyBy(bound)})
		}
	}
	return writeJSON(w, struct {
		Accounts []readinessJSON `json:"accounts"`
	}{accounts})
}

func wholeSeconds(d time.Duration) int { return int(d.Round(time.Second) / time.Second) }
