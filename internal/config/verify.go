package config

import (
	"fmt"
	"strings"
	"time"
)

// Verify is how everything that is kept is checked again and again.
type Verify struct {
	// Scrub is how long a pass over everything takes: a little is read and
	// hashed at a time, and begun anew when all is done. 1d to 365d, or off.
	// Default 30d. Danger: off, what is altered or lost is noticed only by
	// `callvault verify`.
	Scrub ScrubPeriod `yaml:"scrub"`

	// Rate is the fastest that it reads, 64KiB/s or more. Default 20MiB/s.
	Rate ByteRate `yaml:"rate"`
}

func (v *Verify) check(l *loader) {
	if v.Scrub != 0 && (v.Scrub < ScrubPeriod(24*time.Hour) || v.Scrub > ScrubPeriod(365*24*time.Hour)) {
		l.fault("verify.scrub", "must be between 1d and 365d, or off")
	}
	if v.Rate < 64<<10 {
		l.fault("verify.rate", "must be at least 64KiB/s")
	}
}

// ScrubPeriod is a time in whole days, such as 30d or 4w; 0, written off, is never.
type ScrubPeriod time.Duration

// UnmarshalText reads a period.
func (p *ScrubPeriod) UnmarshalText(text []byte) error {
	if string(text) == "off" {
		*p = 0
		return nil
	}
	var t Term
	if err := t.UnmarshalText(text); err != nil || t.IsForever() || t.Years+t.Months > 0 {
		return fmt.Errorf("%s is not a number of days or weeks such as 30d, or off", quote(text))
	}
	*p = ScrubPeriod(t.Days) * ScrubPeriod(24*time.Hour)
	return nil
}

// String writes the period as it is read.
func (p ScrubPeriod) String() string {
	if p == 0 {
		return "off"
	}
	return fmt.Sprintf("%dd", time.Duration(p)/(24*time.Hour))
}

// MarshalText writes the period as it is read.
func (p ScrubPeriod) MarshalText() ([]byte, error) { return []byte(p.String()), nil }

// ByteRate is bytes per second, such as 20MiB/s.
type ByteRate int64

// UnmarshalText reads a rate.
func (r *ByteRate) UnmarshalText(text []byte) error {
	var size Size
	if err := size.UnmarshalText([]byte(strings.TrimSuffix(string(text), "/s"))); err != nil || size < 1 {
		return fmt.Errorf("%s is not a rate such as 20MiB/s", quote(text))
	}
	*r = ByteRate(size)
	return nil
}

// String writes the rate without rounding it.
func (r ByteRate) String() string { return Size(r).String() + "/s" }

// MarshalText writes the rate as it is read.
func (r ByteRate) MarshalText() ([]byte, error) { return []byte(r.String()), nil }
