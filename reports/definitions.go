package reports

import (
	"fmt"
	"strings"
	"time"
)

// notSealed is said of a report for which the log could not be sealed.
const notSealed = "The audit log was not sealed when this report was made."

// describe says in a sentence what the sealed log is.
func (l *SealedLog) describe() string {
	if l == nil {
		return notSealed
	}
	return fmt.Sprintf("%s entries, root hash %s, sealed %s UTC. Keep this report: it shows later that no entry was changed or taken away.",
		count(l.Size), l.Hash, l.At.Format(time.DateTime))
}

func (l *SealedLog) note() string {
	if l == nil {
		return notAvailable
	}
	return strings.TrimSpace(l.Note)
}

func (l *SealedLog) fingerprint() string {
	if l == nil {
		return notAvailable
	}
	return l.Fingerprint
}

// permitted says when outbound calls may be made.
func (f *Figures) permitted() string {
	if len(f.Settings.PermittedHours) == 0 {
		return "None are set: outbound calls may be made at any time."
	}
	var rules []string
	for i := range f.Settings.PermittedHours {
		rule := f.Settings.PermittedHours[i].String()
		if u := f.unseen[i]; u.agent {
			rule += " (nobody knows this agent, and no call of this report is of them)"
		} else if u.campaign {
			rule += " (no call of this report is of this campaign)"
		}
		rules = append(rules, rule)
	}
	return "Outbound calls that started outside of these hours are listed, whatever became of them. The first that matches a call decides: " + strings.Join(rules, "; ") + "."
}

// definitionRecords are the definitions. In the workbook they have rows of their
// own height.
func definitionRecords(st *styles, _ *Input, f *Figures) records[definition] {
	return records[definition]{columns: []column[definition]{
		textColumn(st, "", "word", 0, func(d definition) string { return d.word }),
		textColumn(st, "", "meaning", 0, func(d definition) string { return d.meaning }),
	}, each: eachOf(f.definitions())}
}

type definition struct{ word, meaning string }

// definitions are the words of the report. They must say what tally.go and
// figures.go do; docs/reports.md says the same to people who set reports up.
func (f *Figures) definitions() []definition {
	s := &f.Settings
	zone := f.Period.From.Location()
	match := s.Match
	if match == "" {
		match = "all calls"
	}
	formula := map[Formula]string{
		OfOffered:              "answered in time / (offered − short abandons − answered calls whose wait is not known)",
		OfAnswered:             "answered in time / answered calls whose wait is known",
		OfAnsweredAndAbandoned: "answered in time / (answered calls whose wait is known + abandoned − short abandons)",
	}[s.Formula]
	customers := "As the provider tells them"
	if s.Masked {
		customers = "Pseudonyms: the same for the same number in all reports, and nobody can tell the number without Callvault's key"
	}
	list := []definition{
		{"Report", fmt.Sprintf("%s, revision %d, by Callvault %s", s.Report, s.Revision, s.Version)},
		{"Period", fmt.Sprintf("%s to %s, the end not included (%s to %s UTC)",
			f.Period.From.Format(time.DateTime), f.Period.To.Format(time.DateTime),
			f.Period.From.UTC().Format(time.DateTime), f.Period.To.UTC().Format(time.DateTime))},
		{"Time zone", zoneNote(f.Period) + ". All times are by its clocks. A call belongs to the period in which it started."},
		{"Calls", match + ". A call is one conversation, however many legs and reports it had."},
		{"Customers' numbers", customers},
		{"As of", s.AsOf.In(zone).Format(time.DateTime) + ": what had arrived by then"},
		{"Hash of the input", "SHA-256 " + f.InputHash},
		{"Audit log", s.Log.describe()},
		{"Signed log head", s.Log.note()},
		{"Fingerprint of the log's key", s.Log.fingerprint()},
		{"n/a", "There is no such figure: nothing to divide by, or the provider does not tell."},
		{"Calls; offered", "All calls but those of unknown outcome. Inbound calls are the calls offered. Always: calls = answered + missed + abandoned. Total has also the calls of which nobody said who dialled."},
		{"Answered", "Somebody answered: for an outbound call, the customer."},
		{"Missed", "Not answered and not given up by the caller: nobody answered, voicemail, busy, rejected or failed."},
		{"Abandoned", "The caller hung up before anybody answered, or the call was cancelled."},
		{"Short abandon", fmt.Sprintf("Abandoned, inbound, after a known wait of at most %d s: nobody could have answered.", s.ShortAbandon)},
		{"Outcome not known", "The reports of the call do not say how it ended. Listed, and counted nowhere else."},
		{"Start not known", "The reports do not say when the call started. It belongs to the period in which it ended, else was answered, else was first reported. Listed last on Calls, and counted nowhere else but under Recordings."},
		{"Answer rate", "Answered / (offered − short abandons)"},
		{"Abandonment rate", "(Abandoned − short abandons) / (offered − short abandons)"},
		{"Service level", fmt.Sprintf("%s (%s). In time is a wait of at most %d s. It is n/a when the wait of fewer than half of the answered calls is known.", formula, s.Formula, s.Within)},
		{"Share of answered calls judged", "Answered inbound calls whose wait is known / answered inbound calls"},
		{"Connect rate", "Outbound calls answered / outbound calls"},
		{"Wait", "How long the customer waited for an agent. CallerDesk: while the agent's phone rang, without greeting and menu. TeleCMI: from the call's start if a live event told it; of missed calls as TeleCMI counts it. Others: as their reports tell it, or from the ring to the answer."},
		{"Average speed of answer (ASA)", "Mean wait of the answered inbound calls whose wait is known"},
		{"Average wait before abandoning", "Mean wait of the abandoned inbound calls whose wait is known"},
		{"Talk time", "From answer to end, as the provider counts it, over answered calls. Median: the middle one, or the mean of the two in the middle. 90th percentile: the shortest that at least 90 of 100 do not exceed."},
		{"Average handling time (AHT)", "Mean talk time. These providers report neither hold nor work after the call, so it is the time on the phone alone."},
		{"Unique callers, repeat callers", "Different customer numbers of inbound calls; those with two or more"},
		{"Previous, mean of four", fmt.Sprintf("Beside the headline figures: %s, and the %s. Counts are the mean of these, rates and times are over all their calls together. A period is n/a when an account of the report had no call up to then: it may not have been connected. The calls of earlier periods are counted as they were known when this report was made.", f.previousName(), f.usualName())},
		{"Change", "The difference, of rates in percentage points, and its share of the earlier figure in percent. Green is better and red is worse, where it is clear which is better."},
		{"Missed and not returned", "Customer numbers with a missed or abandoned inbound call in the period, and no answered call with them after the last of these, in either direction and on any account, until the report was made"},
		{"Returned", "The same, but somebody talked with them. The minutes count from the last attempt."},
		{"Groups, numbers, campaigns, accounts, weekday hours", fmt.Sprintf("The same measures for the calls of each; groups, numbers, campaigns and accounts with the most calls first. Offered, rates and waits are of inbound calls; calls, talk time, recordings and cost of all; the columns that are folded away have inbound and outbound apart. Campaigns with one call share a row, and so do all beyond the first %s of a sheet. Unique callers are those who called there; to call back counts customers by where, or when, they called last.", count(maxSlices))},
		{"Recordings expected", "Recordings that the provider named, and answered calls for which it named none"},
		{"Archived and verified", "In the vault, with the SHA-256 checked on the way in. Pending: still being fetched. Absent: not offered within the waiting time. Refused: needs a person."},
		{"Audio shorter, longer", "Calls whose audio, of all recordings of the conversation together, differs from the talk time by more than 5 s, and more than 10 % of it. Compared are calls of which all of these are archived and their length is known."},
		{"Audio without its end", "Archived recordings whose header promises more audio than came, or whose last frame is cut"},
		{"Permitted hours", f.permitted()},
		{"Cost", "Sum of what the providers report, each in its own units"},
		{"Agent: offered", "Inbound calls answered + unanswered offers. A transferred call counts for the last who talked."},
		{"Agent: folded columns", "The same measures as of a group, of the calls that ended with the agent. To call back are customers whose last call did, and rang at the agent last."},
		{"Agent: unanswered", "How often the agent's phone rang and the agent did not answer, whoever else answered later"},
		{"Agent: mean wait for answer", "Mean wait of the inbound calls that the agent answered, where known"},
		{"Agent: mean ring", "The same of calls whose wait is how long the agent's phone rang: CallerDesk's. Others do not tell it apart."},
		{"Agent: callbacks made", "Customers counted under Returned with whom the agent was the first to talk, in a call that the agent made"},
		{"Agent: hours with calls", "Hours of the clock in which the agent had or was offered a call; calls per active hour: inbound answered + outbound made per such hour"},
		{"Agent: recordings expected", "Of the agent's answered calls; one for each even where the provider named none"},
	}
	if v := s.Revises; v != nil && v.Rules != "" {
		whose := fmt.Sprintf("those of revision %d: what is configured otherwise since changes no report", v.Revision)
		if v.Rules == rulesNew {
			whose = "those configured when this revision was made, by hand"
		}
		list = append(list, definition{"Revision", "Agents, groups, which calls are reported, thresholds and permitted hours are " + whose + "."})
	}
	return list
}
