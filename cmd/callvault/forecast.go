package main

import (
	"context"
	"fmt"
	"io"
	"text/tabwriter"

	"callvault/archive"
	"callvault/internal/console"

	"github.com/dustin/go-humanize"
)

type retentionForecastCommand struct{}

// Run forecasts.
func (retentionForecastCommand) Run(ctx context.Context, g *globals) error {
	return g.withRetainer(ctx, func(r *archive.Retainer) error {
		f, err := r.Forecast(ctx)
		if err != nil {
			return err
		}
		result := console.StorageOf(f)
		return g.print(&result, func(w io.Writer) { writeForecast(w, &result) })
	})
}

// writeForecast shows the forecast to people.
func writeForecast(w io.Writer, f *console.StorageForecast) {
	table := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(table, "ACCOUNT\tRECORDINGS\tSIZE")
	for _, a := range f.Accounts {
		fmt.Fprintf(table, "%s\t%s\t%s\n", a.Account, humanize.Comma(a.Recordings), humanSize(a.Bytes))
	}
	fmt.Fprintf(table, "\nIt grows by %s a day (the mean since %s), %s in a year.\n", humanSize(f.BytesPerDay), f.Since, humanSize(365*f.BytesPerDay))
	fmt.Fprintln(table, "\nTHE LAST\tCAME\tSIZE\tDELETED\tSIZE")
	for _, g := range f.Growth {
		fmt.Fprintf(table, "%d days\t%s\t%s\t%s\t%s\n", g.Days, humanize.Comma(g.Added), humanSize(g.AddedBytes), humanize.Comma(g.Deleted), humanSize(g.DeletedBytes))
	}
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
