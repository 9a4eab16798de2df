package console

import (
	"context"
	"errors"
	"net/http"
	"time"

	"callvault/internal/call"
)

// StorageForecast is a forecast as the API and the command tell of it. Days are
// as 2026-11-21, months as 2026-11.
type StorageForecast struct {
	AsOf        time.Time        `json:"as_of"`
	Accounts    []StorageAccount `json:"accounts"`
	Since       string           `json:"since"`
	BytesPerDay int64            `json:"bytes_per_day"`
	Growth      []StorageGrowth  `json:"growth"`
	Days        []StorageDay     `json:"days"`
	Frees       []StorageFreed   `json:"frees"`
}

// StorageAccount is a call.StorageTotal.
type StorageAccount struct {
	Account    string `json:"account"`
	Recordings int64  `json:"recordings"`
	Bytes      int64  `json:"bytes"`
}

// StorageGrowth is a call.StorageGrowth.
type StorageGrowth struct {
	Days         int   `json:"days"`
	Added        int64 `json:"added"`
	AddedBytes   int64 `json:"added_bytes"`
	Deleted      int64 `json:"deleted"`
	DeletedBytes int64 `json:"deleted_bytes"`
}

// StorageDay is a call.StorageDay.
type StorageDay struct {
	Day          string `json:"day"`
	Account      string `json:"account"`
	Added        int64  `json:"added"`
	AddedBytes   int64  `json:"added_bytes"`
	Deleted      int64  `json:"deleted"`
	DeletedBytes int64  `json:"deleted_bytes"`
}

// StorageFreed is what retention frees in one month.
type StorageFreed struct {
	Month      string `json:"month"`
	Recordings int64  `json:"recordings"`
	Bytes      int64  `json:"bytes"`
}

// StorageOf tells of a forecast.
func StorageOf(f call.Forecast) StorageForecast {
	answer := StorageForecast{
		AsOf: *instant(f.AsOf), Accounts: []StorageAccount{}, Since: f.From.Format(time.DateOnly), BytesPerDay: f.BytesPerDay,
		Growth: []StorageGrowth{}, Days: []StorageDay{}, Frees: []StorageFreed{},
	}
	for _, t := range f.Totals {
		answer.Accounts = append(answer.Accounts, StorageAccount(t))
	}
	for _, g := range f.Growth {
		answer.Growth = append(answer.Growth, StorageGrowth(g))
	}
	for _, d := range f.Days {
		answer.Days = append(answer.Days, StorageDay{d.Day.Format(time.DateOnly), d.Account, d.Added, d.AddedBytes, d.Deleted, d.DeletedBytes})
	}
	for _, d := range f.Frees {
		month := d.Month.Format(monthOnly)
		if n := len(answer.Frees); n == 0 || answer.Frees[n-1].Month != month {
			answer.Frees = append(answer.Frees, StorageFreed{Month: month})
		}
		last := &answer.Frees[len(answer.Frees)-1]
		last.Recordings += d.Recordings
		last.Bytes += d.Bytes
	}
	return answer
}

// storage tells how the vault grows, and what retention will free. Like
// retention it speaks of nobody.
func (c *Console) storage(w http.ResponseWriter, r *http.Request, who call.Token) error {
	if err := errors.Join(c.query(r).err(), needKeeper(who)); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(r.Context(), questionLimit)
	defer cancel()
	f, err := c.retainer.Forecast(ctx)
	if err != nil {
		return err
	}
	return writeJSON(w, StorageOf(f))
}
