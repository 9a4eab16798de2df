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

// RetentionPatience is how long what is due may lie in the vault before
// something is wrong: the daily job comes twice in that time.
const RetentionPatience = 48 * time.Hour

// OutlookSpan is how far Outlook looks ahead.
const OutlookSpan = 14 * 24 * time.Hour

// Outlook is what is in the vault and what may go, of what retention's rules
// have judged.
type Outlook struct {
	Totals []StorageTotal
	// BytesPerDay is as in Forecast.
	BytesPerDay int64
	// Now is what may go; Late is what has been due for RetentionPatience, and of
	// it what the vault refuses to delete.
	Now, Late RetentionPlan
	// Frees is how many bytes may go within OutlookSpan, those of Now with them.
	Frees int64
}

// FillsIn says when a disk with so many bytes free, which holds the vault, will
// be full: 0 if not within OutlookSpan.
func (o Outlook) FillsIn(free int64) time.Duration {
	const days = int64(OutlookSpan / (24 * time.Hour))
	grows := o.BytesPerDay - o.Frees/days
	if grows <= 0 || free/grows >= days {
		return 0
	}
	return max(time.Hour, time.Duration(float64(free)/float64(grows)*24)*time.Hour)
}

// Disk is how full a disk of one node is.
type Disk struct {
	// Name says for people which it is: node and folder.
	Name string
	// Free bytes are those that Callvault may use of Size.
	Free, Size int64
	// FillsIn is when it will be full by the forecast; 0: not soon, or there is
	// no forecast for it.
	FillsIn time.Duration
	SeenAt  time.Time
}

// leastFree is the share of a disk that must be free.
const leastFree = 0.05

// IsFull reports whether it is time to do something.
func (d Disk) IsFull() bool { return d.FillsIn > 0 || float64(d.Free) < leastFree*float64(d.Size) }
