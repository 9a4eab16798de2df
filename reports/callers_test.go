package reports

import (
	"fmt"
	"math/rand/v2"
	"os"
	"testing"
)

// Customers are counted exactly, also when there are more calls than are kept in
// memory, and for agents who turn out to be one person.
func TestCallers(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	const limit = 1000
	for _, calls := range []int{0, 3, limit - 1, limit, 3*limit + 17} {
		c := newCallerCounter(dir)
		c.limit = limit
		rng := rand.New(rand.NewPCG(uint64(calls), 1))
		rows := make([]Callers, 20)
		rows[19].join(&rows[18]) // has calls of its own
		rows[17].join(&rows[16]) // has none
		rows[16].join(&rows[15])
		counted := make([]map[string]int, len(rows))
		for i := range counted {
			counted[i] = make(map[string]int)
		}
		for range calls {
			number := fmt.Sprint(rng.IntN(1 + calls/3))
			var of []*Callers
			for dimension := range noteRows - 1 {
				row := 3*dimension + rng.IntN(2) // a third has none
				of = append(of, &rows[row])
				counted[row][number]++
			}
			last := []int{15, 16, 18, 19}[rng.IntN(4)]
			of = append(of, &rows[last])
			counted[map[int]int{15: 17, 16: 17, 18: 19, 19: 19}[last]][number]++
			if err := c.add(number, of...); err != nil {
				t.Fatal(err)
			}
		}
		if err := c.count(); err != nil {
			t.Fatal(err)
		}
		for i := range rows {
			var unique, repeat int64
			for _, n := range counted[i] {
				unique++
				if n > 1 {
					repeat++
				}
			}
			if rows[i].Unique != unique || rows[i].Repeat != repeat {
				t.Errorf("%d calls, row %d: %d callers, %d repeat; want %d, %d", calls, i, rows[i].Unique, rows[i].Repeat, unique, repeat)
			}
		}
		if err := c.close(); err != nil {
			t.Error(err)
		}
	}
	if left, err := os.ReadDir(dir); err != nil || len(left) > 0 {
		t.Errorf("left: %v, %v", left, err)
	}
}
