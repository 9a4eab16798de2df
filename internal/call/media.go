package call

import (
	"slices"
	"time"
)

// MediaFormat is how audio is packed; empty: not known, and nothing else is
// claimed.
type MediaFormat string

// The formats that are understood. All others are kept just as well.
const (
	WAV MediaFormat = "wav"
	MP3 MediaFormat = "mp3"
	// GSM is GSM 06.10 in bare frames, as Asterisk writes it.
	GSM MediaFormat = "gsm"
)

// MediaFlag is something about a recording that is worth a look.
type MediaFlag string

// The flags. Those of the bytes are stored; AudioShort and AudioLong follow
// from the talk time, which may become known later, when they are read.
const (
	// VariableRate: the bit rate changes from frame to frame.
	VariableRate MediaFlag = "variable_rate"
	// FreeFormat: an MP3 whose bit rate is none of the standard's.
	FreeFormat MediaFlag = "free_format"
	// NoLength: a WAV whose header does not say how long it is, as programs
	// write it that send before they know.
	NoLength MediaFlag = "no_length"
	// Damaged: more than DamagedShare of the bytes are no audio.
	Damaged MediaFlag = "damaged"
	// AudioShort and AudioLong: the audio of the call's conversation, all
	// recordings together, differs from its talk time (CompareAudio).
	AudioShort MediaFlag = "audio_short"
	AudioLong  MediaFlag = "audio_long"
)

// DamagedShare is the Media.Corrupt from which on it is worth a look: tags that
// nobody knows, or some lost bytes, are not.
const DamagedShare = 0.01

// Media is what the bytes of a recording say of it.
type Media struct {
	Format MediaFormat
	// Codec as FFmpeg calls it, for instance pcm_s16le, pcm_mulaw, gsm_ms, gsm or
	// mp3; empty when it is another.
	Codec    string
	Channels int
	// SampleRate is in Hz, BitRate, the mean, in bit/s; 0: not known.
	SampleRate, BitRate int
	// Duration is the playing time of what is there; 0: not known.
	Duration time.Duration
	// Truncated says that the end is missing: the header promises more, or the
	// last frame is cut.
	Truncated bool
	// Corrupt is the share of the bytes that are neither audio nor tags, 0 to 1.
	Corrupt float64
	// Flags are those of the bytes.
	Flags []MediaFlag
}

// AudioSeconds is the playing time in whole seconds, nil when it is not known.
func (m Media) AudioSeconds() *int {
	if m.Duration <= 0 {
		return nil
	}
	seconds := int(m.Duration.Round(time.Second) / time.Second)
	return &seconds
}

// AudioMatch says how the audio of a call compares with its talk time.
type AudioMatch string

// The ways in which they compare; empty: they cannot be compared.
const (
	AudioAgrees  AudioMatch = "agrees"
	AudioShorter AudioMatch = "short"
	AudioLonger  AudioMatch = "long"
)

// AudioTolerance is how far audio and talk time may differ, in seconds: 5, or
// 10 % of the talk time if that is more. Both are whole seconds by different
// clocks.
func AudioTolerance(talkSeconds int) int { return max(5, talkSeconds/10) }

// CompareAudio sets the talk time of a call against all its conversation
// recordings together: a provider may cut a conversation into several. It
// compares only what is archived and of known length, all of it. The store's
// search has the same rule in SQL.
func CompareAudio(talkSeconds *int, recordings []Recording) AudioMatch {
	var sum AudioSum
	for i := range recordings {
		sum.Add(recordings[i].Kind, recordings[i].State, recordings[i].AudioSeconds)
	}
	return sum.Against(talkSeconds)
}

// AudioSum adds up the audio of one call. Its zero value is ready for use.
type AudioSum struct {
	seconds, parts int
	unknown        bool
}

// Add takes in one recording of the call.
func (s *AudioSum) Add(kind RecordingKind, state RecordingState, audioSeconds *int) {
	switch {
	case kind != Conversation:
	case state != Archived || audioSeconds == nil:
		s.unknown = true
	default:
		s.seconds += *audioSeconds
		s.parts++
	}
}

// Against compares the sum with the talk time.
func (s *AudioSum) Against(talkSeconds *int) AudioMatch {
	if talkSeconds == nil || s.unknown || s.parts == 0 {
		return ""
	}
	switch differ := s.seconds - *talkSeconds; {
	case differ < -AudioTolerance(*talkSeconds):
		return AudioShorter
	case differ > AudioTolerance(*talkSeconds):
		return AudioLonger
	}
	return AudioAgrees
}

// MediaFlags are all flags of one recording of a call whose audio compares so.
func (r *Recording) MediaFlags(match AudioMatch) []MediaFlag {
	flags := slices.Clone(r.Media.Flags)
	if r.Kind == Conversation && match == AudioShorter {
		flags = append(flags, AudioShort)
	}
	if r.Kind == Conversation && match == AudioLonger {
		flags = append(flags, AudioLong)
	}
	return flags
}

// AudioFault selects calls whose audio is not as it should be.
type AudioFault string

// The faults that Filter.Audio selects.
const (
	FaultShort     AudioFault = "short"
	FaultLong      AudioFault = "long"
	FaultTruncated AudioFault = "truncated"
)

// AudioFaults lists them all.
func AudioFaults() []AudioFault { return []AudioFault{FaultShort, FaultLong, FaultTruncated} }
