package audit

import "slices"

// Ranges are whole numbers as ranges of which both ends are meant, ascending and
// apart.
type Ranges [][2]int64

// RangesOf are the ranges of numbers, in any order.
func RangesOf(numbers ...int64) Ranges {
	var r Ranges
	for _, n := range slices.Sorted(slices.Values(numbers)) {
		r = r.add([2]int64{n, n})
	}
	return r
}

// With are the numbers of both.
func (r Ranges) With(o Ranges) Ranges {
	both := slices.Concat(r, o)
	slices.SortFunc(both, func(a, b [2]int64) int { return slices.Compare(a[:], b[:]) })
	var merged Ranges
	for _, one := range both {
		merged = merged.add(one)
	}
	return merged
}

// add adds a range that does not begin before the last one.
func (r Ranges) add(one [2]int64) Ranges {
	if last := len(r) - 1; last >= 0 && one[0] <= r[last][1]+1 {
		r[last][1] = max(r[last][1], one[1])
		return r
	}
	return append(r, one)
}

// Has reports whether a number is among them.
func (r Ranges) Has(n int64) bool {
	i, _ := slices.BinarySearchFunc(r, n, func(one [2]int64, n int64) int {
		if one[1] < n {
			return -1
		}
		return 1
	})
	return i < len(r) && r[i][0] <= n
}
