package call

import "time"

// StorageDay is what came into the vault and went out of it on one day.
type StorageDay struct {
	// Day is its beginning, in UTC.
	Day     time.Time
	Account string
	// Added and Deleted are recordings.
	Added, AddedBytes, Deleted, DeletedBytes int64
}

// StorageTotal is what of an account's audio is in the vault.
type StorageTotal struct {
	Account           string
	Recordings, Bytes int64
}

// Forecast says how the vault has grown, and what retention will free.
type Forecast struct {
	AsOf   time.Time
	Totals []StorageTotal
	// Days are those of the last quarter of a year on which something came or
	// went, the oldest first.
	Days []StorageDay
	// Growth sums up the last whole days, for several lengths of time.
	Growth []StorageGrowth
	// BytesPerDay is the mean of what came in on the whole days since From.
	BytesPerDay int64
	From        time.Time
	// Frees is what may go, by month; a month holds what is due by then.
	Frees []DueSum
}

// StorageGrowth is what came and went on the last so many days that are over.
type StorageGrowth struct {
	Days                                     int
	Added, AddedBytes, Deleted, DeletedBytes int64
}

// GrowthDays are the lengths of time of Forecast.Growth, the longest last.
func GrowthDays() []int { return []int{7, 30, 90} }
