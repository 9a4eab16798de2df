package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"text/tabwriter"
	"time"

	"callvault/internal/call"
	"callvault/internal/config"
	"callvault/webhook"
)

// explained is what a sample was taken for, as --json gives it.
type explained struct {
	Account string            `json:"account"`
	Reports []explainedReport `json:"reports"`
}

// explainedReport is one report of a sample.
type explainedReport struct {
	// What is call, live, ignored or unreadable.
	What    string         `json:"what"`
	Reason  string         `json:"reason,omitempty"`
	Facts   []webhook.Fact `json:"facts"`
	Call    *explainedCall `json:"call,omitempty"`
	Unused  []string       `json:"unused"`
	Unknown []string       `json:"unknown_words"`
}

// explainedCall is the call that a report makes by itself.
type explainedCall struct {
	Key         string     `json:"call_key"`
	Direction   string     `json:"direction"`
	Outcome     string     `json:"outcome"`
	StartedAt   *time.Time `json:"started_at"`
	AnsweredAt  *time.Time `json:"answered_at"`
	EndedAt     *time.Time `json:"ended_at"`
	WaitSeconds *int       `json:"wait_seconds"`
	TalkSeconds *int       `json:"talk_seconds"`
}

// sampleAccount is the account that a sample is read for.
func (k configCheck) sampleAccount(g *globals) (webhook.Account, error) {
	if k.Mapping != "" {
		m, err := config.ReadMapping(k.Mapping)
		if err != nil {
			return webhook.Account{}, fmt.Errorf("the mapping cannot be used:\n%w", err)
		}
		a := config.NewAccount()
		return webhook.Account{Name: "sample", Provider: call.Mapped, Mapping: m, Zone: a.TimeZone.Location, Region: a.Region}, nil
	}
	c, err := g.load()
	if err != nil {
		return webhook.Account{}, err
	}
	if k.Account == "" && len(c.Accounts) != 1 {
		return webhook.Account{}, usagef("--account must say whose report the sample is")
	}
	for _, a := range webhookAccounts(c) {
		if k.Account == "" || a.Name == k.Account {
			return a, nil
		}
	}
	return webhook.Account{}, fmt.Errorf("there is no account named %q in the configuration", k.Account)
}

// explainSample says what is made of the reports in a file.
func explainSample(g *globals, account webhook.Account, file string) error {
	decoder, err := webhook.NewDecoder([]webhook.Account{account}, webhook.Hooks{})
	if err != nil {
		return err
	}
	result := explained{Account: account.Name, Reports: []explainedReport{}}
	sample, err := readSample(g, file)
	if err != nil {
		return fmt.Errorf("read the sample: %w", err)
	}
	unreadable := 0
	for d, err := range decoder.DecodeFile(account.Name, time.Now(), strings.NewReader(sample)) {
		if err != nil {
			return fmt.Errorf("read the sample: %w", err)
		}
		for _, x := range decoder.Explain(d) {
			r := describe(x)
			if r.What == string(call.Unreadable) {
				unreadable++
			}
			result.Reports = append(result.Reports, r)
		}
	}
	if len(result.Reports) == 0 {
		return errors.New("the sample holds no report")
	}
	if err := g.print(result, result.print); err != nil {
		return err
	}
	if unreadable > 0 {
		return fmt.Errorf("%d of %d reports cannot be read", unreadable, len(result.Reports))
	}
	return nil
}

// readSample reads a file or, of -, standard input. A query may begin with its
// question mark, as it is copied from a log.
func readSample(g *globals, file string) (string, error) {
	var data []byte
	var err error
	if file == "-" {
		data, err = io.ReadAll(g.stdin)
	} else {
		data, err = os.ReadFile(file)
	}
	if err != nil {
		return "", err
	}
	return strings.TrimPrefix(strings.TrimSpace(string(data)), "?"), nil
}

func describe(x webhook.Explanation) explainedReport {
	r := explainedReport{What: string(x.Item.Outcome), Reason: x.Item.Error, Facts: x.Facts, Unused: x.Unused, Unknown: x.Strange}
	if r.Facts == nil {
		r.Facts = []webhook.Fact{}
	}
	if r.Unused == nil {
		r.Unused = []string{}
	}
	if r.Unknown == nil {
		r.Unknown = []string{}
	}
	switch {
	case x.Item.Live != nil:
		r.What = "live"
	case x.Call != nil:
		r.What = "call"
		r.Call = &explainedCall{
			Key: x.Call.Key, Direction: string(x.Call.Direction), Outcome: string(x.Call.Outcome),
			StartedAt: known(x.Call.StartedAt), AnsweredAt: known(x.Call.AnsweredAt), EndedAt: known(x.Call.EndedAt),
			WaitSeconds: x.Call.WaitSeconds, TalkSeconds: x.Call.TalkSeconds,
		}
	}
	return r
}

// known is nil for the zero time.
func known(t time.Time) *time.Time {
	if t.IsZero() {
		return nil
	}
	return &t
}

func (e explained) print(w io.Writer) {
	for i, r := range e.Reports {
		if i > 0 {
			fmt.Fprintln(w)
		}
		r.print(w, i+1, len(e.Reports))
	}
}

func (r explainedReport) print(w io.Writer, number, of int) {
	what := map[string]string{
		"call": "about a call", "live": "about a call in progress",
		string(call.Ignored): "ignored", string(call.Unreadable): "cannot be read",
	}[r.What]
	fmt.Fprintf(w, "Report %d of %d: %s", number, of, what)
	if r.Reason != "" {
		fmt.Fprintf(w, ": %s", r.Reason)
	}
	fmt.Fprintln(w)
	table := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	for _, f := range r.Facts {
		from := ""
		if f.From != "" {
			from = "from " + f.From
		}
		fmt.Fprintf(table, "  %s\t%s\t%s\n", f.Name, f.Value, from)
	}
	_ = table.Flush() // to where the rest goes
	if c := r.Call; c != nil {
		fmt.Fprintf(w, "By itself it makes this call:\n  %s", c.Outcome)
		if c.Direction != "" {
			fmt.Fprintf(w, ", %s", c.Direction)
		}
		for _, at := range []struct {
			name string
			time *time.Time
		}{{"started", c.StartedAt}, {"answered", c.AnsweredAt}, {"ended", c.EndedAt}} {
			if at.time != nil {
				fmt.Fprintf(w, ", %s %s", at.name, at.time.Format(time.RFC3339))
			}
		}
		if c.WaitSeconds != nil {
			fmt.Fprintf(w, ", waited %d s", *c.WaitSeconds)
		}
		if c.TalkSeconds != nil {
			fmt.Fprintf(w, ", talked %d s", *c.TalkSeconds)
		}
		fmt.Fprintln(w)
	}
	if len(r.Unused) > 0 {
		fmt.Fprintln(w, "Nothing was taken from (it is kept all the same):\n ", strings.Join(r.Unused, "\n  "))
	}
	if len(r.Unknown) > 0 {
		fmt.Fprintln(w, "Words that are not known:\n ", strings.Join(r.Unknown, "\n  "))
	}
}
