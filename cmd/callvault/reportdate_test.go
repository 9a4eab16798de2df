package main

import (
	"errors"
	"strings"
	"testing"
	"time"

	"callvault/internal/config"
)

// TestReportDate: without --date a report is of the last period that is over; one
// that has not begun, where the report is made, is no period to report.
func TestReportDate(t *testing.T) {
	t.Parallel()
	in := install(t, storage{}, anySize(), `reports:
  - {name: daily, time_zone: Asia/Kolkata, recipients: [ops@example.org, {address: lead@example.org, match: {group: Sales}}]}
  - {name: weekly, time_zone: Asia/Kolkata, period: week, schedule: "0 7 * * 1"}
  - {name: monthly, time_zone: America/New_York, period: month, schedule: "0 7 1 * *"}
`)
	commandJSON[map[string]int](t, "migrate", "--data", in.data)
	cfg, err := config.Load((&globals{Data: in.data}).configOptions(""))
	if err != nil {
		t.Fatal(err)
	}
	// It is Tuesday in India already.
	now := time.Date(2026, 11, 30, 19, 0, 0, 0, time.UTC)
	for _, tt := range []struct{ report, date, want, fault string }{
		{"daily", "", "2026-11-30", ""},
		{"daily", "2026-11-30", "2026-11-30", ""},
		{"daily", "2026-12-01", "2026-12-01", ""}, // it goes on
		{"daily", "2026-12-02", "", "--date 2026-12-02: Wednesday, 2 December 2026 has not begun; in Asia/Kolkata, the report's time zone, today is 2026-12-01"},
		{"weekly", "", "2026-11-23", ""},
		{"weekly", "2026-12-06", "2026-12-06", ""}, // of the week that goes on
		{"weekly", "2026-12-07", "", "--date 2026-12-07: Mon 7 Dec – Sun 13 Dec 2026 has not begun; in Asia/Kolkata, the report's time zone, today is 2026-12-01"},
		{"monthly", "", "2026-10-01", ""},
		{"monthly", "2026-11-30", "2026-11-30", ""},
		{"monthly", "2026-12-01", "", "--date 2026-12-01: December 2026 has not begun; in America/New_York, the report's time zone, today is 2026-11-30"},
		{"daily", "tomorrow", "", "--date must be a day such as 2026-11-21"},
	} {
		got, err := reportCommand{Name: tt.report, Date: tt.date}.date(cfg, now)
		if tt.fault == "" && (err != nil || got.Format(time.DateOnly) != tt.want) {
			t.Errorf("%s %s: %v, %v, want %s", tt.report, tt.date, got, err, tt.want)
		}
		if _, usage := errors.AsType[usageError](err); tt.fault != "" && (!usage || err.Error() != tt.fault) {
			t.Errorf("%s %s: %v, want %s", tt.report, tt.date, err, tt.fault)
		}
	}

	// Nothing is written, made or changed, whatever is asked for.
	out := t.TempDir() + "/out"
	for _, more := range []string{"--out " + out, "--send", "--revise", "--stdout csv calls"} {
		got := command(t, "", strings.Fields("report daily --date 2999-01-01 --data "+in.data+" "+more)...)
		if got.status != exitUsage || got.stdout != "" || !strings.Contains(got.stderr, "1 January 2999 has not begun; in Asia/Kolkata, the report's time zone, today is 2") {
			t.Errorf("%s: %+v", more, got)
		}
	}
}
