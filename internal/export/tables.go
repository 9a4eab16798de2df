package export

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"callvault/internal/call"
)

// addTables adds what the bundle says of its calls.
func (m *maker) addTables(ctx context.Context) error {
	m.result.Calls = m.plan.Calls
	for _, t := range []struct {
		name  string
		write func(io.Writer) error
	}{
		{CallsCSVFile, m.writeCallsCSV},
		{CallsFile, m.writeCalls},
		{DeliveriesFile, func(w io.Writer) error { return m.writeDeliveries(ctx, w) }},
	} {
		if t.name == DeliveriesFile && !m.hasDeliveries() {
			continue // leftOut says why
		}
		if err := m.addFile(t.name, t.write); err != nil {
			return err
		}
	}
	return nil
}

// addMissing adds what is missing, when all is known of it, and what a recipient
// must know.
func (m *maker) addMissing() error {
	m.result.Missing = 0
	err := m.eachMissing(func(l missing) error {
		m.result.Missing++
		if l.Why == whyUnproved {
			m.result.Recordings--
			m.result.Unproved++
		}
		return nil
	})
	if err == nil {
		err = m.addFile(MissingFile, m.writeMissing)
	}
	if err == nil {
		err = m.addFile(ReadmeFile, m.writeReadme)
	}
	return err
}

// hasDeliveries reports whether a bundle of this request has raw deliveries.
func (m *maker) hasDeliveries() bool { return len(m.Request.Groups) == 0 }

// leftOut says what a bundle of this request never has.
func (m *maker) leftOut() []string {
	if m.hasDeliveries() {
		return nil
	}
	return []string{DeliveriesFile + ": whoever asked may see calls of some groups only, and what providers deliver may tell of calls of others"}
}

func (m *maker) writeCallsCSV(w io.Writer) error {
	t, err := newTable(w, callsHeader()...)
	if err != nil {
		return err
	}
	err = m.eachCall(func(c *callLine, _ []missing) error { return t.row(c.row()...) })
	if err != nil {
		return err
	}
	return t.flush()
}

func (m *maker) writeCalls(w io.Writer) error {
	e := json.NewEncoder(w)
	e.SetEscapeHTML(false)
	return m.eachCall(func(c *callLine, _ []missing) error { return e.Encode(c) })
}

// eachMissing calls do for everything that is missing.
func (m *maker) eachMissing(do func(missing) error) error {
	for _, id := range m.plan.Unknown {
		if err := do(missing{Kind: "call", ID: id, Why: whyUnknown, What: "There is no call with this id that whoever asked may see."}); err != nil {
			return err
		}
	}
	for _, id := range m.lost {
		if err := do(missing{Kind: "delivery", ID: strconv.FormatInt(id, 10), Why: whyExpired, What: "It was deleted while the bundle was made, because its term was over."}); err != nil {
			return err
		}
	}
	return m.eachCall(func(c *callLine, lacks []missing) error {
		if m.hasDeliveries() && len(c.Deliveries) == 0 {
			lacks = append(lacks, missing{Kind: "deliveries", Call: c.ID, Why: whyExpired, What: "No request that told of the call is kept any more."})
		}
		for _, l := range append(lacks, m.unproved(c)...) {
			if err := do(l); err != nil {
				return err
			}
		}
		return nil
	})
}

// unproved are the recordings of a call whose audio is that of their rows, and
// the audit log says otherwise, or nothing: rows can be changed.
func (m *maker) unproved(c *callLine) (lacks []missing) {
	for i := range c.Recordings {
		r := &c.Recordings[i]
		sum, ok := m.logged[r.ID]
		if r.File == "" || sum == r.SHA256 {
			continue
		}
		what := "The audit log does not say that it was archived."
		if ok {
			what = fmt.Sprintf("The audit log says that it was archived with SHA-256 %s.", sum)
		}
		lacks = append(lacks, missing{
			Kind: "recording", ID: r.ID, Call: c.ID, Why: whyUnproved,
			What: fmt.Sprintf("%s The bytes in %s have SHA-256 %s and are no evidence of the call. This is a fault: verify says more.", what, r.File, r.SHA256),
		})
	}
	return lacks
}

func (m *maker) writeMissing(w io.Writer) error {
	t, err := newTable(w, "kind", "id", "call_id", "why", "what")
	if err != nil {
		return err
	}
	err = m.eachMissing(func(l missing) error { return t.row(l.Kind, l.ID, l.Call, l.Why, l.What) })
	if err != nil {
		return err
	}
	return t.flush()
}

// writeDeliveries writes what the providers sent, byte for byte, in the order
// in which it came.
func (m *maker) writeDeliveries(ctx context.Context, w io.Writer) error {
	ids := map[int64]struct{}{} // one may tell of several calls
	err := m.eachCall(func(c *callLine, _ []missing) error {
		for _, id := range c.Deliveries {
			ids[id] = struct{}{}
		}
		return nil
	})
	if err != nil {
		return err
	}
	e := json.NewEncoder(w)
	e.SetEscapeHTML(false)
	for _, id := range slices.Sorted(maps.Keys(ids)) {
		d, err := m.Store.Delivery(ctx, id)
		if call.CodeOf(err) == call.NotFound {
			m.lost = append(m.lost, id)
			continue
		}
		if err != nil {
			return err
		}
		sum := sha256.Sum256(d.Body)
		line := deliveryLine{
			ID: d.ID, Account: d.Account, Source: d.Source, ReceivedAt: moment(d.ReceivedAt), Method: d.Method, ContentType: d.ContentType,
			Query: d.Query, RemoteAddress: d.RemoteAddress, Outcome: d.Outcome, Error: d.Error, CallIDs: d.CallIDs, BodySHA256: hex.EncodeToString(sum[:]),
		}
		if utf8.Valid(d.Body) {
			line.Body = string(d.Body)
		} else {
			line.BodyBase64 = d.Body
		}
		if err := e.Encode(line); err != nil {
			return err
		}
	}
	return nil
}

// writeReadme writes what a recipient must know who has never heard of
// Callvault.
func (m *maker) writeReadme(w io.Writer) error {
	left := m.leftOut()
	for i := range left {
		left[i] = "\nNot in this bundle: " + left[i] + ".\n"
	}
	text := fmt.Sprintf(readme, m.plan.ID, m.plan.Request.By.Name, m.plan.AsOf.Format("2006-01-02 15:04:05 UTC"),
		m.result.Calls, m.result.Recordings, m.result.Missing, strings.Join(left, ""))
	_, err := io.WriteString(w, strings.ReplaceAll(text, "\n", "\r\n"))
	return err
}

const readme = `CALLS AND RECORDINGS, WITH EVIDENCE

Bundle %s, made by %s, as of %s:
%d calls, %d recordings, %d missing (missing.csv says which and why).
%s
What is in it
  audio/            the recordings, as they were archived. Names say day, time, direction,
                    the customer's number, the agent and the recording's id; the time is
                    that of the account's time zone. All other times are UTC.
  altered/          only if there are any: audio whose bytes are not those that were
                    archived. It is no evidence of a call; missing.csv says more.
  calls.csv         the calls, for a spreadsheet (UTF-8). A text that a spreadsheet would
                    take for a formula has an apostrophe in front.
  calls.jsonl       the calls with everything known of them, one JSON object a line.
  deliveries.jsonl  what the telephony providers sent, byte for byte.
  custody.jsonl     what was done to these calls and recordings, and who looked at them:
                    entries of the audit log, each with a proof that it is in the log. Holds
                    and searches, which speak of other calls, too, are not among them.
  missing.csv       what was asked for and is not here, or is here and not proved, and why.
  manifest.json     all files with size and SHA-256, what was asked for, by whom and why,
                    the signed head of the audit log.
  manifest.json.sig the signature over manifest.json (a signed note).
  SHA256SUMS        the files' SHA-256 in the form that sha256sum reads.

How to check it
  1. With any computer: unzip, and in that folder run
         sha256sum -c SHA256SUMS           (Linux; macOS: shasum -a 256 -c SHA256SUMS)
     It shows that the files are those that SHA256SUMS names. It does not show who made them.
  2. With Callvault, without its database and without a network:
         callvault verify --bundle FILE.zip --key FINGERPRINT
     It checks every file, the signature, and the proofs of custody. Get the key's fingerprint
     from the sender by another way than this file: a signature proves nothing to somebody who
     does not know the key. Every report and seal of the sender's installation prints it.
`
