package call_test

import (
	"testing"
	"time"

	"callvault/internal/call"
)

func TestFillsIn(t *testing.T) {
	t.Parallel()
	const day = 24 * time.Hour
	for _, tt := range []struct {
		grows, frees, free int64
		want               time.Duration
	}{
		{grows: 100, free: 1000, want: 10 * day},
		{grows: 100, free: 1400, want: 0}, // not within 14 days
		{grows: 100, free: 1399, want: 335 * time.Hour},
		{grows: 100, free: 0, want: time.Hour},
		{grows: 100, frees: 1400, free: 10, want: 0}, // as much goes as comes
		{grows: 100, frees: 700, free: 500, want: 10 * day},
		{grows: 0, free: 0, want: 0}, // nothing is known of it
	} {
		o := call.Outlook{BytesPerDay: tt.grows, Frees: tt.frees}
		if got := o.FillsIn(tt.free); got != tt.want {
			t.Errorf("%+v: full in %s", tt, got)
		}
	}
}

func TestDiskIsFull(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		disk call.Disk
		want bool
	}{
		{call.Disk{Free: 5, Size: 100}, false},
		{call.Disk{Free: 4, Size: 100}, true},
		{call.Disk{Free: 90, Size: 100, FillsIn: time.Hour}, true},
	} {
		if got := tt.disk.IsFull(); got != tt.want {
			t.Errorf("%+v is full: %v", tt.disk, got)
		}
	}
}
