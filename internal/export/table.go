package export

import (
	"bufio"
	"encoding/csv"
	"errors"
	"io"
	"strconv"
	"strings"
	"time"

	"callvault/internal/call"
)

// table writes a CSV file: UTF-8 with byte order mark, RFC 4180, no text of
// which a spreadsheet would make a formula.
type table struct {
	out *bufio.Writer
	csv *csv.Writer
}

func newTable(w io.Writer, header ...string) (*table, error) {
	t := &table{out: bufio.NewWriter(w)}
	t.csv = csv.NewWriter(t.out)
	t.csv.UseCRLF = true
	// Excel takes a file without the mark for the local 8-bit code page.
	_, err := io.WriteString(t.out, "\uFEFF")
	return t, errors.Join(err, t.csv.Write(header))
}

func (t *table) row(texts ...string) error {
	for i := range texts {
		texts[i] = call.CSVText(texts[i])
	}
	return t.csv.Write(texts)
}

func (t *table) flush() error {
	t.csv.Flush()
	return errors.Join(t.csv.Error(), t.out.Flush())
}

func callsHeader() []string {
	return []string{"call_id", "account", "provider", "call_key", "direction", "outcome", "provider_status", "customer_number",
		"business_number", "agent_name", "agent_id", "agent_number", "group", "campaign", "started_at", "answered_at", "ended_at",
		"wait_seconds", "talk_seconds", "total_seconds", "hangup_cause", "hangup_by", "cost", "legs", "recordings", "recording_states", "files"}
}

func (c *callLine) row() []string {
	var states, files []string
	for _, r := range c.Recordings {
		states = append(states, string(r.State))
		if r.File != "" {
			files = append(files, r.File)
		}
	}
	return []string{c.ID, c.Account, string(c.Provider), c.CallKey, string(c.Direction), string(c.Outcome), c.ProviderStatus, c.CustomerNumber,
		c.BusinessNumber, c.Agent.Name, c.Agent.ID, c.Agent.Number, c.Group, c.Campaign, timeText(c.StartedAt), timeText(c.AnsweredAt), timeText(c.EndedAt),
		numberText(c.WaitSeconds), numberText(c.TalkSeconds), numberText(c.TotalSeconds), c.HangupCause, c.HangupBy, c.Cost, strconv.Itoa(c.LegsCount),
		strconv.Itoa(len(c.Recordings)), strings.Join(states, " "), strings.Join(files, " ")}
}

func timeText(t *time.Time) string {
	if t == nil {
		return ""
	}
	return t.Format(time.RFC3339Nano)
}

func numberText(n *int) string {
	if n == nil {
		return ""
	}
	return strconv.Itoa(*n)
}
