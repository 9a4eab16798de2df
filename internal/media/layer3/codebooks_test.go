package layer3

import "testing"

// The words of a codebook fill all that can follow, and each value has one.
func TestCodebooksAreWhole(t *testing.T) {
	t.Parallel()
	values := map[int]int{1: 2, 2: 3, 3: 3, 5: 4, 6: 4, 7: 6, 8: 6, 9: 6, 10: 8, 11: 8, 12: 8, 13: 16, 15: 16, 16: 16, 24: 16}
	all := codes()
	for n, leaves := range codebooks {
		words, seen := uint64(0), map[uint16]bool{}
		for i, leaf := range leaves {
			word := uint32(words)
			words += 1 << (32 - leaf>>8)
			r := &bitReader{data: []byte{byte(word >> 24), byte(word >> 16), byte(word >> 8), byte(word)}, left: 32}
			if got := all[n].next(r); got != int(leaf&0xFF) || r.at != int(leaf>>8) {
				t.Errorf("table %d, word %d: %#x of %d bits, want %#x", n, i, got, r.at, leaf)
			}
			seen[leaf&0xFF] = true
			if v := values[n]; v > 0 && (int(leaf>>4&0xF) >= v || int(leaf&0xF) >= v) {
				t.Errorf("table %d has a value %#x", n, leaf&0xFF)
			}
		}
		want := values[n] * values[n]
		if n == quadA || n == quadB {
			want = 16
		}
		if words != 1<<32 || len(seen) != want || len(leaves) != want {
			t.Errorf("table %d: %d values, want %d; its words fill %#x", n, len(seen), want, words)
		}
	}
	if len(codebooks) != len(values)+2 {
		t.Errorf("%d tables", len(codebooks))
	}
}

// Each rate's bands are in order and fill the granule.
func TestBandsAreWhole(t *testing.T) {
	t.Parallel()
	for version, byRate := range rates {
		for i := range byRate {
			r := &byRate[i]
			if version == 1 { // reserved
				continue
			}
			for kind, bands := range map[string][]band{"long": r.ofLong, "short": r.ofShort, "mixed": mixedBands(r, version)} {
				at := 0
				for _, b := range bands {
					if b.from != at || b.to <= at {
						t.Errorf("version %d, rate %d, %s: a band from %d to %d, want from %d", version, i, kind, b.from, b.to, at)
					}
					at = b.to
				}
				if at != lines {
					t.Errorf("version %d, rate %d, %s: %d lines", version, i, kind, at)
				}
			}
		}
	}
}

func mixedBands(r *rate, version int) []band {
	if version == 3 {
		return r.mixed1
	}
	return r.mixedOthers
}
