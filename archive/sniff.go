package archive

import (
	"bytes"
	"mime"
	"slices"
	"strings"

	"callvault/internal/media"

	"github.com/gabriel-vasile/mimetype"
)

// SniffBytes is how many bytes from the beginning Sniff can make use of.
const SniffBytes = 4096

// Verdict is what to do with an answer to the question for a recording.
type Verdict int

// The verdicts. Hosts answer 200 with an error page, JSON or nothing while a
// recording is not ready, so only what nobody sends by mistake is Refused.
const (
	// NotAudio is to be tried again.
	NotAudio Verdict = iota
	// Audio is to be kept.
	Audio
	// Refused is certainly something else: an image, a document, an
	// archive, a program.
	Refused
)

// Content is what an answer turned out to be.
type Content struct {
	Verdict Verdict
	// MediaType of what it is, without parameters, for instance "audio/wav"
	// or "text/html"; "application/octet-stream" when nobody knows.
	MediaType string
	// Extension for Audio, with its dot, for instance ".wav".
	Extension string
}

// leastAudio is the fewest bytes that can be a recording: a WAV header alone
// takes 44, an error in JSON about as many.
const leastAudio = 64

// audioTypes are the names and extensions under which audio is kept. MP4,
// 3GP and WebM hold audio alone more often than their names admit.
var audioTypes = map[string]Content{
	"audio/mpeg":      {Audio, "audio/mpeg", ".mp3"},
	"audio/wav":       {Audio, "audio/wav", ".wav"},
	"audio/ogg":       {Audio, "audio/ogg", ".ogg"},
	"application/ogg": {Audio, "audio/ogg", ".ogg"},
	"audio/flac":      {Audio, "audio/flac", ".flac"},
	"audio/amr":       {Audio, "audio/amr", ".amr"},
	"audio/aac":       {Audio, "audio/aac", ".aac"},
	"audio/aiff":      {Audio, "audio/aiff", ".aiff"},
	"audio/basic":     {Audio, "audio/basic", ".au"},
	"audio/qcelp":     {Audio, "audio/qcelp", ".qcp"},
	"audio/mp4":       {Audio, "audio/mp4", ".m4a"},
	"audio/x-m4a":     {Audio, "audio/mp4", ".m4a"},
	"video/mp4":       {Audio, "audio/mp4", ".m4a"},
	"video/3gpp":      {Audio, "audio/3gpp", ".3gp"},
	"video/3gpp2":     {Audio, "audio/3gpp2", ".3g2"},
	"video/webm":      {Audio, "audio/webm", ".webm"},
}

// headerless are the telephone codecs without anything to recognise them by.
// Here alone the declared type decides, and only over bytes that are nothing
// else.
var headerless = map[string]Content{
	"audio/basic":        {Audio, "audio/basic", ".ul"},
	"audio/pcmu":         {Audio, "audio/pcmu", ".ul"},
	"audio/x-mulaw":      {Audio, "audio/pcmu", ".ul"},
	"audio/pcma":         {Audio, "audio/pcma", ".al"},
	"audio/x-alaw-basic": {Audio, "audio/pcma", ".al"},
	"audio/l16":          {Audio, "audio/l16", ".sln"},
	"audio/g722":         {Audio, "audio/g722", ".g722"},
	"audio/g729":         {Audio, "audio/g729", ".g729"},
}

// gsm is GSM 06.10 as Asterisk writes it.
var gsm = Content{Audio, "audio/gsm", ".gsm"}

// refusedTypes are, beside images, video and fonts, what is certainly not
// audio. Not all that mimetype can name: some of its signatures are two
// bytes, and a recording that is refused is not asked for again.
var refusedTypes = []string{
	"application/pdf", "application/postscript", "application/x-ole-storage",
	"application/zip", "application/gzip", "application/vnd.rar",
	"application/x-7z-compressed", "application/x-tar", "application/x-bzip2",
	"application/x-xz", "application/zstd", "application/lzip",
	"application/vnd.ms-cab-compressed", "application/x-rpm",
	"application/vnd.debian.binary-package", "application/x-archive",
	"application/vnd.microsoft.portable-executable", "application/x-elf",
	"application/x-mach-binary", "application/x-java-applet", "application/wasm",
	"application/vnd.sqlite3",
}

// Sniff says what an answer is by its first SniffBytes bytes, or by all of
// them when there are fewer. Neither the extension nor the declared content
// type is believed; the latter is asked only where bytes say nothing.
func Sniff(head []byte, declaredType string) Content {
	found := mimetype.Detect(head)
	content := Content{MediaType: baseType(found.String())}
	if isText(found) {
		return content
	}
	for m := found; m != nil; m = m.Parent() {
		name := baseType(m.String())
		if audio, ok := audioTypes[name]; ok {
			return longEnough(audio, head)
		}
		if isRefused(m, name) {
			content.Verdict = Refused
			return content
		}
	}
	if content.MediaType != "application/octet-stream" {
		return content
	}
	switch {
	case media.IsMP3(head):
		return audioTypes["audio/mpeg"]
	case isRF64(head):
		return longEnough(audioTypes["audio/wav"], head)
	case isGSM(head):
		return gsm
	}
	// A file made at its full length and not yet written is all zero.
	if declared, ok := headerless[baseType(declaredType)]; ok && !isConstant(head) {
		return longEnough(declared, head)
	}
	return content
}

// isText holds for HTML and JSON, and for SVG and scripts too: text of any
// kind may be somebody's error page.
func isText(m *mimetype.MIME) bool {
	for ; m != nil; m = m.Parent() {
		if m.Is("text/plain") {
			return true
		}
	}
	return false
}

func longEnough(audio Content, head []byte) Content {
	if len(head) < leastAudio {
		return Content{MediaType: audio.MediaType}
	}
	return audio
}

func baseType(mediaType string) string {
	base, _, err := mime.ParseMediaType(mediaType)
	if err != nil {
		return ""
	}
	return base
}

func isRefused(m *mimetype.MIME, name string) bool {
	for _, family := range []string{"image/", "video/", "font/"} {
		if strings.HasPrefix(name, family) {
			return true
		}
	}
	return slices.ContainsFunc(refusedTypes, m.Is)
}

// isRF64 knows the WAV for more than 4 GiB (EBU Tech 3306), as some recorders
// write it however short.
func isRF64(head []byte) bool {
	return len(head) >= 12 && (string(head[:4]) == "RF64" || string(head[:4]) == "BW64") && string(head[8:12]) == "WAVE"
}

// isGSM looks for the mark in the first four bits of each frame of 33 bytes
// (GSM 06.10 as in RFC 3551, section 4.5.8).
func isGSM(head []byte) bool {
	const frame, enough = 33, 8
	for i := 0; i < len(head); i += frame {
		if head[i]>>4 != 0xd {
			return false
		}
	}
	return len(head) >= enough*frame
}

func isConstant(head []byte) bool {
	return len(head) == 0 || len(bytes.Trim(head, string(head[:1]))) == 0
}
