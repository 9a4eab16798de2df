package main

import (
	"context"
	"fmt"
	"io"
	"text/tabwriter"
	"time"

	"callvault/archive"
	"callvault/internal/call"
	"callvault/internal/config"
	"callvault/internal/store"

	"github.com/dustin/go-humanize"
)

type retentionForecastCommand struct{}

// forecast is what the command gives.
type forecast struct {
	AsOf        time.Time         `json:"as_of"`
	Accounts    []forecastAccount `json:"accounts"`
	Since       string            `json:"since"`
	BytesPerDay int64             `json:"bytes_per_day"`
	Days        []forecastDay     `json:"days"`
	Frees       []forecastMonth   `json:"frees"`
}

type forecastAccount struct {
	Account    string `json:"account"`
	Recordings int64  `json:"recordings"`
	Bytes      int64  `json:"bytes"`
}

type forecastDay struct {
	Day          string `json:"day"`
	Account      string `json:"account"`
	Added        int64  `json:"added"`
	AddedBytes   int64  `json:"added_bytes"`
	Deleted      int64  `json:"deleted"`
	DeletedBytes int64  `json:"deleted_bytes"`
}

type forecastMonth struct {
	Month      string `json:"month"`
	Recordings int64  `json:"recordings"`
	Bytes      int64  `json:"bytes"`
}

// Run forecasts.
func (retentionForecastCommand) Run(ctx context.Context, g *globals) error {
	return g.withRetainer(ctx, func(_ *config.Config, _ *store.Store, r *archive.Retainer) error {
		f, err := r.Forecast(ctx)
		if err != nil {
			return err
		}
		result := forecastOf(f)
		return g.print(&result, result.write)
	})
}

func forecastOf(f call.Forecast) forecast {
	result := forecast{
		AsOf: f.AsOf.Truncate(time.Millisecond), Accounts: []forecastAccount{}, Since: f.From.Format(time.DateOnly), BytesPerDay: f.BytesPerDay,
		Days: []forecastDay{}, Frees: []forecastMonth{},
	}
	for _, t := range f.Totals {
		result.Accounts = append(result.Accounts, forecastAccount(t))
	}
	for _, d := range f.Days {
		result.Days = append(result.Days, forecastDay{d.Day.Format(time.DateOnly), d.Account, d.Added, d.AddedBytes, d.Deleted, d.DeletedBytes})
	}
	for _, d := range f.Frees {
		month := d.Month.Format("2006-01")
		if n := len(result.Frees); n == 0 || result.Frees[n-1].Month != month {
			result.Frees = append(result.Frees, forecastMonth{Month: month})
		}
		last := &result.Frees[len(result.Frees)-1]
		last.Recordings += d.Recordings
		last.Bytes += d.Bytes
	}
	return result
}

// write shows the forecast to people.
func (f *forecast) write(w io.Writer) {
	table := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(table, "ACCOUNT\tRECORDINGS\tSIZE")
	for _, a := range f.Accounts {
		fmt.Fprintf(table, "%s\t%s\t%s\n", a.Account, humanize.Comma(a.Recordings), humanSize(a.Bytes))
	}
	fmt.Fprintf(table, "\nIt grows by %s a day (the mean since %s), %s in a year.\n", humanSize(f.BytesPerDay), f.Since, humanSize(365*f.BytesPerDay))
	if len(f.Frees) > 0 {
		fmt.Fprintln(table, "\nRETENTION FREES IN\tRECORDINGS\tSIZE")
	}
	for _, m := range f.Frees {
		fmt.Fprintf(table, "%s\t%s\t%s\n", m.Month, humanize.Comma(m.Recordings), humanSize(m.Bytes))
	}
	if err := table.Flush(); err != nil {
		return // as with every line of this text: nobody reads on
	}
}
