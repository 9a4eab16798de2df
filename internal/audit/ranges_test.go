package audit_test

import (
	"slices"
	"testing"

	"callvault/internal/audit"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

func TestRanges(t *testing.T) {
	t.Parallel()
	if diff := cmp.Diff(audit.Ranges{{1, 3}, {7, 7}}, audit.RangesOf(2, 7, 1, 3, 2)); diff != "" {
		t.Error(diff)
	}
	rapid.Check(t, func(t *rapid.T) {
		numbers := rapid.SliceOf(rapid.Int64Range(-5, 40))
		a, b := numbers.Draw(t, "a"), numbers.Draw(t, "b")
		r := audit.RangesOf(a...).With(audit.RangesOf(b...))
		for n := int64(-7); n < 43; n++ {
			if got, want := r.Has(n), slices.Contains(a, n) || slices.Contains(b, n); got != want {
				t.Errorf("%v has %d: %t", r, n, got)
			}
		}
		for i := 1; i < len(r); i++ {
			if r[i][0] <= r[i-1][1]+1 {
				t.Errorf("%v could be less", r)
			}
		}
	})
}
