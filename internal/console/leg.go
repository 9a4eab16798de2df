package console

import (
	"encoding/json"
	"path"
	"slices"
	"strings"

	"callvault/internal/call"
)

type legJSON struct {
	LegKey      string          `json:"leg_key"`
	Leg         *call.Side      `json:"leg"`
	Status      *string         `json:"status"`
	Agent       agentJSON       `json:"agent"`
	StartedAt   *string         `json:"started_at"`
	AnsweredAt  *string         `json:"answered_at"`
	EndedAt     *string         `json:"ended_at"`
	TalkSeconds *int            `json:"talk_seconds"`
	HangupCause *string         `json:"hangup_cause"`
	Attributes  call.Attributes `json:"attributes"`
}

func legsOf(detail call.CallDetail, who call.Token) []legJSON {
	legs := make([]legJSON, len(detail.Legs))
	hidden := func(string, json.RawMessage) bool { return false }
	if !who.Role.MayHear() {
		names := recordingNames(detail)
		hidden = func(name string, value json.RawMessage) bool { return leadsToRecording(name, value, names) }
	}
	for i, l := range detail.Legs {
		legs[i] = legJSON{
			LegKey:      l.Key,
			Leg:         optional(l.Side),
			Status:      optional(l.Status),
			Agent:       agentOf(l.Agent),
			StartedAt:   moment(l.StartedAt),
			AnsweredAt:  moment(l.AnsweredAt),
			EndedAt:     moment(l.EndedAt),
			TalkSeconds: l.TalkSeconds,
			HangupCause: optional(l.HangupCause),
			Attributes:  make(call.Attributes, len(l.Attributes)),
		}
		for name, value := range l.Attributes {
			if hidden(name, value) {
				value = nil
			}
			legs[i].Attributes[name] = value
		}
	}
	return legs
}

// recordingNames are the texts by which a value of the call's reports would
// give a recording away.
func recordingNames(detail call.CallDetail) []string {
	var names []string
	for _, r := range detail.Recordings {
		names = append(names, sourceNames(r.Source)...)
	}
	for _, l := range detail.Legs {
		for _, w := range l.Recordings {
			names = append(names, sourceNames(w.Source)...)
		}
	}
	return names
}

// sourceNames are the source itself and the name of its file, in lower case:
// slashes may come escaped, a file's name does not.
func sourceNames(source string) []string {
	source = strings.ToLower(source)
	names := []string{source}
	address, _, _ := strings.Cut(source, "?")
	if name := path.Base(address); len(name) >= 4 { // a shorter one is in everything
		names = append(names, name)
	}
	return names
}

func mentions(text string, names []string) bool {
	text = strings.ToLower(text)
	return slices.ContainsFunc(names, func(name string) bool { return name != "" && strings.Contains(text, name) })
}

// leadsToRecording reports whether an attribute is one that providers send a
// recording in, by its name (CallRecordingUrl, filename, voicename, record,
// file, AudioFile, …), or names one of these recordings somewhere in its
// value. CallerDesk's recordings are open to whoever has the URL.
func leadsToRecording(name string, value json.RawMessage, recordings []string) bool {
	if isRecordingField(name) {
		return true
	}
	var v any
	if json.Unmarshal(value, &v) != nil {
		return true // not JSON after all: nobody can say what it holds
	}
	return holdsRecording(v, recordings)
}

func isRecordingField(name string) bool {
	name = strings.ToLower(name)
	for _, sign := range []string{"record", "file", "voicename", "voicemail", "audio"} {
		if strings.Contains(name, sign) {
			return true
		}
	}
	return false
}

func holdsRecording(v any, recordings []string) bool {
	switch v := v.(type) {
	case string:
		if mentions(v, recordings) {
			return true
		}
		// TeleCMI's custom and extra_params are JSON within a string.
		var inner any
		if s := strings.TrimSpace(v); strings.HasPrefix(s, "{") || strings.HasPrefix(s, "[") {
			return json.Unmarshal([]byte(s), &inner) == nil && holdsRecording(inner, recordings)
		}
	case []any:
		return slices.ContainsFunc(v, func(e any) bool { return holdsRecording(e, recordings) })
	case map[string]any:
		for name, e := range v {
			if isRecordingField(name) || holdsRecording(e, recordings) {
				return true
			}
		}
	}
	return false
}
