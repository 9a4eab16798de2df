package store_test

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"callvault/internal/call"
	"callvault/internal/store"

	"github.com/google/go-cmp/cmp"
)

func phoneAudio(seconds int) call.Media {
	return call.Media{
		Format: call.WAV, Codec: "pcm_mulaw", Channels: 1, SampleRate: 8000, BitRate: 64000,
		Duration: time.Duration(seconds) * time.Second, Corrupt: 0.25, Flags: []call.MediaFlag{call.NoLength, call.Damaged},
	}
}

// What the bytes of a recording say stays with it, wherever it is read.
func TestMedia(t *testing.T) {
	t.Parallel()
	forEachDatabase(t, func(t *testing.T, o store.Options) {
		s := open(t, o)
		record(t, s, delivery(report("1.1")), delivery(report("1.2")))
		claims := claim(t, s, call.ClaimOptions{})
		cut := phoneAudio(7)
		cut.Truncated = true
		for i, m := range []call.Media{cut, {}} {
			if err := s.MarkArchived(t.Context(), claims[i].LeaseToken, call.Archiving{ObjectKey: "k", Media: m}); err != nil {
				t.Fatal(err)
			}
			read := must(s.Recording(t.Context(), claims[i].ID))(t)
			if diff := cmp.Diff(m, read.Media); diff != "" {
				t.Error(diff)
			}
			listed := must(s.Call(t.Context(), read.CallID))(t).Recordings[0]
			if diff := cmp.Diff(read, listed); diff != "" {
				t.Error(diff)
			}
		}
		found, _, err := s.FindCalls(t.Context(), call.Filter{Audio: call.FaultTruncated})
		if err != nil || len(found) != 1 || found[0].Recordings[0].ID != claims[0].ID {
			t.Errorf("truncated are %+v, %v", found, err)
		}
		if _, _, err := s.FindCalls(t.Context(), call.Filter{Audio: "loud"}); call.CodeOf(err) != call.Invalid {
			t.Errorf("an unknown fault gives %v", err)
		}
		// Who has lost the lease writes nothing.
		if err := s.MarkArchived(t.Context(), claims[1].LeaseToken, call.Archiving{ObjectKey: "k", Media: cut}); call.CodeOf(err) != call.Conflict {
			t.Errorf("a mark after the lease gives %v", err)
		}
		if r := must(s.Recording(t.Context(), claims[1].ID))(t); !cmp.Equal(r.Media, call.Media{}) {
			t.Errorf("a loser wrote %+v", r.Media)
		}
	})
}

// The search finds exactly the calls of which call.CompareAudio says so.
func TestAudioFaultsAsCompared(t *testing.T) {
	t.Parallel()
	forEachDatabase(t, func(t *testing.T, o store.Options) {
		s := open(t, o)
		random := rand.New(rand.NewPCG(1, 2))
		talks := []int{0, 3, 40, 49, 50, 51, 99, 300}
		const calls = 120
		seconds := map[string]*int{} // by source
		for i := range calls {
			l := report(fmt.Sprintf("1.%d", i))
			l.TalkSeconds = &talks[random.IntN(len(talks))]
			if random.IntN(12) == 0 {
				l.TalkSeconds = nil
				l.Outcome, l.AnsweredAt, l.EndedAt = call.Missed, time.Time{}, time.Time{}
			}
			l.Recordings = nil
			left := 0
			if l.TalkSeconds != nil {
				left = max(0, *l.TalkSeconds+random.IntN(4*call.AudioTolerance(*l.TalkSeconds)+30)-call.AudioTolerance(*l.TalkSeconds)-9)
			}
			for part := range random.IntN(4) {
				w := call.Wanted{Kind: call.Conversation, Source: fmt.Sprintf("https://rec.callerdesk.io/%d-%d.wav", i, part)}
				if random.IntN(5) == 0 {
					w.Kind = call.VoicemailMessage
				}
				l.Recordings = append(l.Recordings, w)
				if random.IntN(15) > 0 {
					half := left / 2
					seconds[w.Source] = new(left - half)
					left = half
				}
			}
			record(t, s, delivery(l))
		}
		for claims := claim(t, s, call.ClaimOptions{Limit: 100}); len(claims) > 0; claims = claim(t, s, call.ClaimOptions{Limit: 100}) {
			for _, c := range claims {
				if random.IntN(15) == 0 {
					continue // it stays pending
				}
				a := call.Archiving{ObjectKey: c.ID}
				if n := seconds[c.Source]; n != nil && *n > 0 {
					a.Media = call.Media{Format: call.MP3, Duration: time.Duration(*n) * time.Second}
				}
				if err := s.MarkArchived(t.Context(), c.LeaseToken, a); err != nil {
					t.Fatal(err)
				}
			}
		}
		want := map[call.AudioMatch][]string{}
		for _, c := range allCalls(t, s) {
			match := call.CompareAudio(c.TalkSeconds, c.Recordings)
			want[match] = append(want[match], c.Key)
		}
		for fault, match := range map[call.AudioFault]call.AudioMatch{call.FaultShort: call.AudioShorter, call.FaultLong: call.AudioLonger} {
			found, _, err := s.FindCalls(t.Context(), call.Filter{Audio: fault, Sort: call.OldestFirst, Limit: call.MaxLimit})
			if err != nil {
				t.Fatal(err)
			}
			var got []string
			for _, c := range found {
				got = append(got, c.Key)
			}
			if diff := cmp.Diff(want[match], got); diff != "" || len(got) == 0 {
				t.Errorf("%s: %s", fault, diff)
			}
		}
		if len(want[call.AudioAgrees]) == 0 || len(want[""]) == 0 {
			t.Errorf("compared are %v", want)
		}
	})
}
