package webhook

import (
	"crypto/sha256"
	"encoding/json"
	"fmt"
)

// The bounds of one list and day: its pages, and the rows of each.
const (
	maxPages    = 2000
	maxPageRows = 1000
)

// listPage is one page of a list.
type listPage struct {
	rows []json.RawMessage
	// total is how many rows the provider says there are; 0: it does not say.
	total int
}

// readPages asks for page after page, from 1 on, and gives the rows of each to
// take, each row once. It ends at an empty page, or when as many rows came as
// there are said to be; what a provider calls its total may as well be that of
// the page, so it is not believed of a full page. size is that of a full page,
// 0 if it is not known.
//
// A list that does not come to its end is an error: what came is taken.
func readPages(size int, ask func(page int) (listPage, error), take func([]json.RawMessage) error) error {
	seen := map[[sha256.Size]byte]bool{}
	total := 0
	for number := 1; number <= maxPages; number++ {
		page, err := ask(number)
		if err != nil {
			return fmt.Errorf("page %d: %w", number, err)
		}
		if page.total > 0 {
			total = page.total // it may change while calls come in
		}
		if len(page.rows) == 0 {
			if len(seen) < total {
				return fmt.Errorf("the list ended after %d of %d rows", len(seen), total)
			}
			return nil
		}
		var fresh []json.RawMessage
		for _, row := range page.rows {
			if sum := sha256.Sum256(row); !seen[sum] {
				seen[sum] = true
				fresh = append(fresh, row)
			}
		}
		if len(fresh) == 0 {
			if total > 0 && len(seen) >= total {
				return nil // beyond the end it repeats itself
			}
			return fmt.Errorf("the list repeats itself: page %d brought nothing new after %d rows", number, len(seen))
		}
		if err := take(fresh); err != nil {
			return err
		}
		if total > 0 && len(seen) >= total && (total > len(page.rows) || len(page.rows) < size) {
			return nil
		}
	}
	return fmt.Errorf("the list does not end: stopped after %d pages with %d rows", maxPages, len(seen))
}
