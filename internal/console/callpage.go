package console

import (
	"cmp"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"callvault/internal/call"

	"github.com/dustin/go-humanize"
)

// callPage is a call as people see it. It is made of the API's answer and of
// nothing else, so that it can never tell more.
type callPage struct {
	// Lead and Party are the heading: "Call from", and who. Party is empty if that
	// is not known.
	Lead, Party string
	Outcome     string
	// Tone is good, bad or empty.
	Tone  string
	Began *stamp
	// Gist is what most people want to know: who, of which group, how long.
	Gist []string
	// Zone names whose clocks show the times.
	Zone       string
	Facts      facts
	Recordings []recordingView
	// MayHear: Holds are known.
	MayHear bool
	Holds   []holdView
	Legs    []legView
}

// recordingView is a recording on a call's page.
type recordingView struct {
	Kind, State string
	// Says is what became of it, for people.
	Says string
	// Audio is where it is played from, Download where it is saved from; empty: it
	// is not, by this user or at all.
	Audio, Download string
	Facts           facts
	// Evidence is for those who compare; Kept: with what it is compared.
	Evidence facts
	Kept     bool
}

type holdView struct {
	Name, Reason string
	Since        *stamp
}

type legView struct {
	Name  string
	Facts facts
}

func (c *Console) callPage(w http.ResponseWriter, r *http.Request, who call.Token) error {
	answer, err := c.viewCall(r, who)
	if err != nil {
		return err
	}
	zone := c.zoneOf(answer.Account)
	p := callPage{
		Lead: "Call with", Party: text(answer.CustomerNumber), Outcome: string(text(answer.Outcome)),
		Began: stampOf(answer.StartedAt, zone, longDay+", 15:04:05"), Zone: zoneName(zone, timeOf(answer.StartedAt)),
		Facts: answer.facts(zone), MayHear: who.Role.MayHear(),
	}
	p.Gist = answer.gist()
	switch text(answer.Direction) {
	case call.Inbound:
		p.Lead = "Call from"
	case call.Outbound:
		p.Lead = "Call to"
	}
	switch text(answer.Outcome) {
	case call.Answered:
		p.Tone = "good"
	case call.Missed, call.Abandoned, call.Busy, call.Rejected, call.Cancelled, call.Failed, call.Voicemail:
		p.Tone = "bad"
	}
	for i := range answer.Recordings {
		p.Recordings = append(p.Recordings, answer.Recordings[i].view(zone, who))
	}
	for _, h := range answer.Holds {
		p.Holds = append(p.Holds, holdView{h.Name, h.Reason, stampOf(h.PlacedAt, zone, dayMinute)})
	}
	for i := range answer.Legs {
		p.Legs = append(p.Legs, answer.Legs[i].view(zone))
	}
	// The title stays in the browser's history, so it names nobody.
	title := "Call"
	if at := timeOf(answer.StartedAt); !at.IsZero() {
		title = "Call of " + at.In(zone).Format(dayMinute)
	}
	return writePage(w, http.StatusOK, callTemplate, page{Title: title, User: who.Name, Body: p})
}

// zoneOf is the time zone of an account's office.
func (c *Console) zoneOf(account string) *time.Location {
	i := slices.IndexFunc(c.accounts, func(a Account) bool { return a.Name == account })
	if i < 0 || c.accounts[i].Zone == nil {
		return c.zone
	}
	return c.accounts[i].Zone
}

// zoneName names a zone for people, with how far it is from UTC at a time.
func zoneName(zone *time.Location, at time.Time) string {
	if at.IsZero() || zone == time.UTC {
		return zone.String()
	}
	return zone.String() + ", UTC" + at.In(zone).Format("-07:00")
}

// text is what an optional text says, empty for none.
func text[T ~string](value *T) T {
	if value == nil {
		return ""
	}
	return *value
}

func (a *callDetailJSON) gist() []string {
	words := []string{cmp.Or(text(a.Agent.Name), text(a.Agent.Number), text(a.Agent.ID)), text(a.Group)}
	if a.TalkSeconds != nil && *a.TalkSeconds > 0 {
		words = append(words, "talked "+clockOf(*a.TalkSeconds))
	}
	if a.WaitSeconds != nil {
		words = append(words, "waited "+clockOf(*a.WaitSeconds))
	}
	return slices.DeleteFunc(words, func(w string) bool { return w == "" })
}

func (a *callDetailJSON) facts(zone *time.Location) facts {
	at := func(t *string) *stamp { return stampOf(t, zone, dayClock) }
	var f facts
	f.text("Agent", a.Agent.Name)
	f.text("Agent's number", a.Agent.Number)
	f.text("Agent's id", a.Agent.ID)
	f.text("Group", a.Group)
	f.duration("Talked", a.TalkSeconds)
	f.duration("Waited", a.WaitSeconds)
	f.duration("In all", a.TotalSeconds)
	f.time("Answered", at(a.AnsweredAt))
	f.time("Ended", at(a.EndedAt))
	f.text("Business number", a.BusinessNumber)
	f.text("Campaign", a.Campaign)
	f.text("Hung up by", a.HangupBy)
	f.text("Hangup cause", a.HangupCause)
	f.text("Provider's status", a.ProviderStatus)
	f.text("Cost", a.Cost)
	f.text("Account", new(fmt.Sprintf("%s (%s)", a.Account, a.Provider)))
	f.code("Call key", &a.CallKey)
	f.code("Id", &a.ID)
	return f
}

func (l *legJSON) view(zone *time.Location) legView {
	at := func(t *string) *stamp { return stampOf(t, zone, dayClock) }
	v := legView{Name: cmp.Or(text(l.Agent.Name), text(l.Agent.Number), text(l.Agent.ID))}
	v.Facts.text("Status", l.Status)
	v.Facts.text("Agent's number", l.Agent.Number)
	v.Facts.time("Began", at(l.StartedAt))
	v.Facts.time("Answered", at(l.AnsweredAt))
	v.Facts.time("Ended", at(l.EndedAt))
	v.Facts.duration("Talked", l.TalkSeconds)
	v.Facts.text("Hangup cause", l.HangupCause)
	if l.Leg != nil {
		v.Facts.text("Side", new(string(*l.Leg)))
	}
	v.Facts.code("Leg key", &l.LegKey)
	return v
}

func (a *recordingJSON) view(zone *time.Location, who call.Token) recordingView {
	at := func(t *string) *stamp { return stampOf(t, zone, dayClock) }
	v := recordingView{Kind: "Conversation", State: string(a.State), Says: a.says(who)}
	if a.Kind == call.VoicemailMessage {
		v.Kind = "Voicemail"
	}
	if a.State == call.Archived && who.Role.MayHear() {
		audio := "/recordings/" + url.PathEscape(a.ID) + "/audio"
		v.Download = audio + "?download=1"
		if playable(text(a.MediaType)) == text(a.MediaType) {
			v.Audio = audio
		}
	}
	v.Facts.duration("Length", a.AudioSeconds)
	if a.Media != nil {
		v.Facts.text("To note", optional(a.Media.notes()))
	}
	v.Facts.time("Archived", at(a.ArchivedAt))
	v.Facts.time("Kept until", at(a.RetainUntil))
	v.Facts.time("Locked in the vault until", at(a.LockedUntil))
	v.Facts.text("By the rule", a.Rule)
	if a.State == call.Archived {
		v.Facts.time("May be deleted from", at(a.DueAt))
		if a.DueAt == nil {
			v.Facts.text("May be deleted", new("never"))
		}
	}
	if len(a.Holds) > 0 {
		v.Facts.text("Kept by the legal hold", new(strings.Join(a.Holds, ", ")))
	}
	v.Kept = a.SHA256 != nil
	if a.Size != nil {
		v.Evidence.text("Size", new(humanize.Comma(*a.Size)+" bytes"))
	}
	if a.Media != nil {
		v.Evidence.text("Format", optional(a.Media.format()))
	}
	v.Evidence.time("Last verified", at(a.VerifiedAt))
	v.Evidence.code("SHA-256", a.SHA256)
	v.Evidence.code("In the vault", a.ObjectKey)
	v.Evidence.code("From", a.Source)
	return v
}

// says is what became of a recording, and why.
func (a *recordingJSON) says(who call.Token) string {
	var s string
	switch a.State {
	case call.Archived:
		if !who.Role.MayHear() {
			return fmt.Sprintf("It is in the vault. Listening needs the role %s or %s.", call.Compliance, call.Admin)
		}
		return ""
	case call.Pending:
		s = "It is not in the vault yet."
		if a.Attempts > 0 {
			s = fmt.Sprintf("It is not in the vault yet, after %d tries.", a.Attempts)
		}
	case call.Absent:
		s = "The provider did not offer it in time."
	case call.Refused:
		s = "It was not taken, and is not tried again before somebody decides."
	case call.Expired:
		return "It was deleted: its retention was over."
	case call.Erased:
		return "It was erased on request."
	}
	if a.LastError != nil {
		s += " " + sentence(oneLine(*a.LastError))
	}
	return s
}

// format is, for instance, "wav, pcm_mulaw, 1 channel, 8 kHz".
func (m *mediaJSON) format() string {
	var words []string
	if m.Format != nil {
		words = append(words, string(*m.Format))
	}
	if m.Codec != nil && *m.Codec != string(text(m.Format)) {
		words = append(words, *m.Codec)
	}
	if n := m.Channels; n != nil {
		words = append(words, fmt.Sprintf("%d channel%s", *n, map[bool]string{true: "s"}[*n != 1]))
	}
	if hertz := m.SampleRate; hertz != nil {
		words = append(words, fmt.Sprintf("%g kHz", float64(*hertz)/1000))
	}
	return strings.Join(words, ", ")
}

// notes is what is worth a look.
func (m *mediaJSON) notes() string {
	var words []string
	if m.Truncated {
		words = append(words, "its end is missing")
	}
	for _, flag := range m.Flags {
		switch flag {
		case call.Damaged:
			words = append(words, fmt.Sprintf("%.0f %% of it is damaged", 100*m.Corrupt))
		case call.AudioShort:
			words = append(words, "shorter than the talk time")
		case call.AudioLong:
			words = append(words, "longer than the talk time")
		case call.VariableRate, call.FreeFormat, call.NoLength: // for programs
		}
	}
	return strings.Join(words, "; ")
}
