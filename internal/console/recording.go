package console

import (
	"cmp"
	"context"
	"errors"
	"mime"
	"net/http"
	"path"
	"regexp"
	"strings"

	"callvault/internal/audit"
	"callvault/internal/call"

	"github.com/gorilla/mux"
)

type recordingJSON struct {
	ID           string              `json:"id"`
	Kind         call.RecordingKind  `json:"kind"`
	State        call.RecordingState `json:"state"`
	Source       *string             `json:"source"`
	ObjectKey    *string             `json:"object_key"`
	Size         *int64              `json:"size"`
	SHA256       *string             `json:"sha256"`
	MediaType    *string             `json:"media_type"`
	AudioSeconds *int                `json:"audio_seconds"`
	Media        *mediaJSON          `json:"media"`
	ArchivedAt   *string             `json:"archived_at"`
	VerifiedAt   *string             `json:"verified_at"`
	Rule         *string             `json:"rule"`
	RetainUntil  *string             `json:"retain_until"`
	DueAt        *string             `json:"due_at"`
	LockedUntil  *string             `json:"locked_until"`
	Holds        []string            `json:"holds"`
	Attempts     int                 `json:"attempts"`
	LastError    *string             `json:"last_error"`
}

// mediaJSON is what the bytes of a recording say of it.
type mediaJSON struct {
	Format     *call.MediaFormat `json:"format"`
	Codec      *string           `json:"codec"`
	Channels   *int              `json:"channels"`
	SampleRate *int              `json:"sample_rate"`
	BitRate    *int              `json:"bit_rate"`
	Truncated  bool              `json:"truncated"`
	Corrupt    float64           `json:"corrupt"`
	Flags      []call.MediaFlag  `json:"flags"`
}

// mediaOf is null for what is not in the vault.
func mediaOf(rec *call.Recording, match call.AudioMatch) *mediaJSON {
	if rec.State != call.Archived {
		return nil
	}
	m := rec.Media
	flags := rec.MediaFlags(match)
	if flags == nil {
		flags = []call.MediaFlag{}
	}
	return &mediaJSON{
		Format: optional(m.Format), Codec: optional(m.Codec), Channels: optional(m.Channels),
		SampleRate: optional(m.SampleRate), BitRate: optional(m.BitRate),
		Truncated: m.Truncated, Corrupt: m.Corrupt, Flags: flags,
	}
}

// recordingsOf tells of a call's recordings; holds are those that keep the
// call.
func (c *Console) recordingsOf(of call.CallWithRecordings, holds []callHoldJSON, who call.Token) []recordingJSON {
	answer := make([]recordingJSON, len(of.Recordings))
	match := call.CompareAudio(of.TalkSeconds, of.Recordings)
	for i, rec := range of.Recordings {
		answer[i] = recordingOf(rec, match, who)
		if c.locks && rec.State == call.Archived {
			answer[i].LockedUntil = answer[i].RetainUntil
		}
		if who.Role.MayHear() {
			answer[i].Holds = []string{}
		}
		for _, h := range holds {
			answer[i].Holds = append(answer[i].Holds, h.Name)
		}
	}
	return answer
}

func recordingOf(rec call.Recording, match call.AudioMatch, who call.Token) recordingJSON {
	answer := recordingJSON{
		ID:           rec.ID,
		Kind:         rec.Kind,
		State:        rec.State,
		Source:       optional(rec.Source),
		ObjectKey:    optional(rec.ObjectKey),
		Size:         optional(rec.Size),
		SHA256:       optional(rec.SHA256),
		MediaType:    optional(rec.MediaType),
		AudioSeconds: rec.AudioSeconds,
		Media:        mediaOf(&rec, match),
		ArchivedAt:   moment(rec.ArchivedAt),
		VerifiedAt:   moment(rec.VerifiedAt),
		Rule:         optional(rec.Rule),
		RetainUntil:  moment(rec.RetainUntil),
		DueAt:        moment(rec.DueAt),
		Attempts:     rec.Attempts,
		// Why it is absent or refused says more than what the last try met.
		LastError: optional(cmp.Or(rec.Reason, rec.LastError)),
	}
	if !who.Role.MayHear() {
		answer.Source, answer.ObjectKey = nil, nil
		if e := answer.LastError; e != nil && mentions(*e, sourceNames(rec.Source)) {
			answer.LastError = nil
		}
	}
	return answer
}

func (c *Console) audio(w http.ResponseWriter, r *http.Request, who call.Token) error {
	if !who.Role.MayHear() {
		return call.Errorf(call.Forbidden, "listening to recordings needs the role %s or %s", call.Compliance, call.Admin)
	}
	q := c.query(r)
	download := oneOf(q, "download", "0", "1") == "1"
	if err := q.err(); err != nil {
		return err
	}
	rec, of, err := c.visibleRecording(r.Context(), mux.Vars(r)["id"], who)
	if err != nil {
		return err
	}
	if rec.State != call.Archived {
		return call.Errorf(call.NotFound, "the recording is %s: there is no audio", rec.State)
	}
	o := object{
		key:       rec.ObjectKey,
		size:      rec.Size,
		sha256:    rec.SHA256,
		mediaType: playable(rec.MediaType),
		modified:  rec.ArchivedAt,
	}
	action := audit.AudioPlayed
	if download {
		o.saveAs = fileName(rec, of)
		action = audit.AudioDownloaded
	}
	if err := c.listen(r, action, "recording/"+rec.ID, map[string]any{"call_id": of.ID, "account": rec.Account, "object_key": rec.ObjectKey, "sha256": rec.SHA256}); err != nil {
		return err
	}
	return c.serveObject(w, r, o)
}

// visibleRecording finds a recording of a call that the token may see, and
// the call.
func (c *Console) visibleRecording(ctx context.Context, id string, who call.Token) (call.Recording, call.Call, error) {
	none := call.Errorf(call.NotFound, "there is no such recording")
	if !printable(id) {
		return call.Recording{}, call.Call{}, none
	}
	limited, cancel := context.WithTimeout(ctx, questionLimit)
	defer cancel()
	rec, err := c.store.Recording(limited, id)
	var detail call.CallDetail
	if err == nil {
		detail, err = c.visibleCall(ctx, rec.CallID, who)
	}
	if _, ok := errors.AsType[hidden](err); ok {
		return call.Recording{}, call.Call{}, hidden{none}
	}
	if call.CodeOf(err) == call.NotFound {
		return call.Recording{}, call.Call{}, none
	}
	return rec, detail.Call, err
}

// playable is the media type under which a browser may have the audio. What
// does not say that it is sound is bytes to save, and nothing to display.
func playable(mediaType string) string {
	if strings.HasPrefix(mediaType, "audio/") || strings.HasPrefix(mediaType, "video/") {
		return mediaType
	}
	return "application/octet-stream"
}

// unsafeInName is what some system does not take in the name of a file.
var unsafeInName = regexp.MustCompile(`[^A-Za-z0-9_-]+`)

// fileName is the name under which a recording is saved: account, start in
// UTC, kind if it is a voicemail, the last four digits of the customer's
// number (names of files travel further than the files), and the extension of
// its object: sales-20230102T090230Z-5678.wav.
func fileName(rec call.Recording, of call.Call) string {
	parts := []string{rec.Account}
	if !of.StartedAt.IsZero() {
		parts = append(parts, of.StartedAt.UTC().Format("20060102T150405Z"))
	}
	if rec.Kind == call.VoicemailMessage {
		parts = append(parts, "voicemail")
	}
	if digits := onlyDigits(of.CustomerNumber); len(digits) > 4 {
		parts = append(parts, digits[len(digits)-4:])
	}
	return unsafeInName.ReplaceAllString(strings.Join(parts, "-"), "_") + path.Ext(rec.ObjectKey)
}

func onlyDigits(s string) string {
	return strings.Map(func(r rune) rune {
		if r < '0' || r > '9' {
			return -1
		}
		return r
	}, s)
}

// attachment is the Content-Disposition that saves under a name; one that
// cannot be written is left to the browser.
func attachment(name string) string {
	return cmp.Or(mime.FormatMediaType("attachment", map[string]string{"filename": name}), "attachment")
}
