package config

import (
	"fmt"
	"math"
	"net/netip"
	"net/url"
	"strconv"
	"strings"
	"time"
	_ "time/tzdata" // zones must be known also in an image without zone files

	"github.com/dustin/go-humanize"
)

// Size is a number of bytes. Written as 512MiB, 20MB (powers of 1024 and of
// 1000) or a plain number.
type Size int64

// UnmarshalText reads a size.
func (s *Size) UnmarshalText(text []byte) error {
	n, err := humanize.ParseBytes(string(text))
	if err != nil || n > math.MaxInt64 {
		return fmt.Errorf("%s is not a size such as 512MiB or 20MB", quote(text))
	}
	*s = Size(n)
	return nil
}

// String writes the size without rounding it.
func (s Size) String() string {
	for _, u := range []struct {
		name  string
		bytes Size
	}{{"GiB", 1 << 30}, {"MiB", 1 << 20}, {"MB", 1e6}, {"KiB", 1 << 10}} {
		if s >= u.bytes && s%u.bytes == 0 {
			return strconv.FormatInt(int64(s/u.bytes), 10) + u.name
		}
	}
	return strconv.FormatInt(int64(s), 10)
}

// MarshalText writes the size as it is read.
func (s Size) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// Term is a time by the calendar: years and months are as long as the calendar
// says. The zero Term is for ever. Written as 7y, 18mo, 2w, 90d, in
// combination 1y6mo, or forever.
type Term struct{ Years, Months, Days int }

// longestTerm bounds every part of a Term, so that sums stay far from overflow.
const longestTerm = 1000

// UnmarshalText reads a term.
func (t *Term) UnmarshalText(text []byte) error {
	rest := string(text)
	if rest == "forever" {
		*t = Term{}
		return nil
	}
	var parsed Term
	for rest != "" {
		unit := strings.TrimLeft(rest, "0123456789")
		n, err := strconv.Atoi(rest[:len(rest)-len(unit)])
		if err != nil || n > longestTerm*366 {
			return errNotATerm(text)
		}
		end := strings.IndexAny(unit, "0123456789")
		if end < 0 {
			end = len(unit)
		}
		switch unit[:end] {
		case "y":
			parsed.Years += n
		case "mo":
			parsed.Months += n
		case "w":
			parsed.Days += 7 * n
		case "d":
			parsed.Days += n
		default:
			return errNotATerm(text)
		}
		rest = unit[end:]
	}
	years := parsed.Years + parsed.Months/12 + parsed.Days/365
	if parsed.IsForever() || years > longestTerm {
		return errNotATerm(text)
	}
	*t = parsed
	return nil
}

func errNotATerm(text []byte) error {
	return fmt.Errorf("%s is not a term such as 7y, 18mo, 90d or forever "+
		"(of at most %d years)", quote(text), longestTerm)
}

// IsForever tells whether the term has no end.
func (t Term) IsForever() bool { return t == Term{} }

// After is when the term that begins at start is over, in start's zone. A day
// that the month does not have is counted on: 29 February and 1y is 1 March.
// Of a term without end it is the zero time.
func (t Term) After(start time.Time) time.Time {
	if t.IsForever() {
		return time.Time{}
	}
	return start.AddDate(t.Years, t.Months, t.Days)
}

// CanEndBefore tells whether there is a day from which t is over earlier than
// other. It tries each day of one leap cycle: 365d and 1y differ on some.
func (t Term) CanEndBefore(other Term) bool {
	if t.IsForever() || other.IsForever() {
		return other.IsForever() && !t.IsForever()
	}
	for day := range 4*365 + 1 {
		start := time.Date(2021, 1, 1+day, 0, 0, 0, 0, time.UTC)
		if t.After(start).Before(other.After(start)) {
			return true
		}
	}
	return false
}

// String writes the term as it is read.
func (t Term) String() string {
	if t.IsForever() {
		return "forever"
	}
	var s strings.Builder
	for _, part := range []struct {
		n    int
		unit string
	}{{t.Years, "y"}, {t.Months, "mo"}, {t.Days, "d"}} {
		if part.n > 0 {
			fmt.Fprintf(&s, "%d%s", part.n, part.unit)
		}
	}
	return s.String()
}

// MarshalText writes the term as it is read.
func (t Term) MarshalText() ([]byte, error) { return []byte(t.String()), nil }

// Share is by how much something differs, as a fraction: 0.05 is 5%. Negative is
// never.
type Share float64

// Never is the Share that nothing exceeds.
const Never Share = -1

// maxShare bounds a Share: 1000%.
const maxShare = 10

// UnmarshalText reads a share.
func (s *Share) UnmarshalText(text []byte) error {
	if string(text) == "never" {
		*s = Never
		return nil
	}
	digits, found := strings.CutSuffix(string(text), "%")
	digits = strings.TrimSuffix(digits, " ")
	n, err := strconv.ParseFloat(digits, 64)
	if !found || err != nil || strings.Trim(digits, "0123456789.") != "" || n > 100*maxShare {
		return fmt.Errorf("%s is neither a percentage such as 5%% (at most %d%%) nor never", quote(text), 100*maxShare)
	}
	*s = Share(n / 100)
	return nil
}

// String writes the share as it is read.
func (s Share) String() string {
	if s < 0 {
		return "never"
	}
	// Not 100*s: 0.07 would be 7.000000000000001.
	text := strconv.FormatFloat(math.Round(float64(s)*1e6)/1e4, 'f', -1, 64)
	return text + "%"
}

// MarshalText writes the share as it is read.
func (s Share) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// Zone is a time zone of the IANA database, which is part of the program. The
// zero Zone has no location; [Load] leaves none.
type Zone struct{ *time.Location }

// UnmarshalText reads a zone's name. "Local" is refused: what a report's day is
// must not depend on the machine that builds it.
func (z *Zone) UnmarshalText(text []byte) error {
	name := string(text)
	location, err := time.LoadLocation(name)
	if err != nil || name == "" || name == "Local" {
		return fmt.Errorf("%s is not a time zone such as Asia/Kolkata or UTC",
			quote(text))
	}
	z.Location = location
	return nil
}

// String is the zone's name.
func (z Zone) String() string {
	if z.Location == nil {
		return ""
	}
	return z.Location.String()
}

// MarshalText writes the zone's name.
func (z Zone) MarshalText() ([]byte, error) { return []byte(z.String()), nil }

// parsePrefix reads a network in CIDR notation or a single address.
func parsePrefix(text string) (netip.Prefix, error) {
	if address, err := netip.ParseAddr(text); err == nil {
		address = address.Unmap().WithZone("")
		return netip.PrefixFrom(address, address.BitLen()), nil
	}
	prefix, err := netip.ParsePrefix(text)
	if err != nil {
		return netip.Prefix{}, fmt.Errorf(
			"%s is not a network such as 203.0.113.0/24", quote([]byte(text)))
	}
	// Addresses that are looked up are plain IPv4, and would never be in it.
	if a := prefix.Addr(); a.Is4In6() && prefix.Bits() >= 96 {
		prefix = netip.PrefixFrom(a.Unmap(), prefix.Bits()-96)
	}
	return prefix.Masked(), nil
}

// mask stands for a secret wherever it might be seen.
const mask = "********"

// Secret is text that must not be seen. However it is printed, logged or
// marshalled, ******** comes out; only Reveal gives it away.
type Secret string

// Reveal is the secret itself, for the one place that sends or compares it.
func (s Secret) Reveal() string { return string(s) }

// String is a mask, or empty if the secret is.
func (s Secret) String() string {
	if s == "" {
		return ""
	}
	return mask
}

// Format prints the mask for every verb, %#v and %x among them.
func (s Secret) Format(f fmt.State, _ rune) { writeMasked(f, s.String()) }

// MarshalText writes the mask; encoding/json and slog (JSON and text) use it.
func (s Secret) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// MarshalYAML writes the mask.
func (s Secret) MarshalYAML() (any, error) { return s.String(), nil }

// SecretURL is a URL that may hold a password. However it is printed, logged or
// marshalled, the password and the query are masked; only Reveal gives them
// away.
type SecretURL string

// Reveal is the URL with its password.
func (s SecretURL) Reveal() string { return string(s) }

// String is the URL with password and query masked; all of it if it cannot be
// parsed, for then nobody knows where the password is.
func (s SecretURL) String() string {
	if s == "" {
		return ""
	}
	u, err := url.Parse(string(s))
	if err != nil || u.Opaque != "" || u.Scheme == "" {
		return mask
	}
	// The parts are put together by hand: url.URL would escape the mask.
	masked := u.Scheme + "://"
	if u.User != nil {
		masked += url.User(u.User.Username()).String()
		if _, ok := u.User.Password(); ok {
			masked += ":" + mask
		}
		masked += "@"
	}
	masked += u.Host + u.EscapedPath()
	if u.RawQuery != "" {
		masked += "?" + mask
	}
	return masked
}

// Format prints the masked URL for every verb.
func (s SecretURL) Format(f fmt.State, _ rune) { writeMasked(f, s.String()) }

// MarshalText writes the masked URL.
func (s SecretURL) MarshalText() ([]byte, error) {
	return []byte(s.String()), nil
}

// MarshalYAML writes the masked URL.
func (s SecretURL) MarshalYAML() (any, error) { return s.String(), nil }

func writeMasked(f fmt.State, masked string) {
	// A fmt.Formatter cannot report an error; fmt keeps its own.
	_, _ = f.Write([]byte(masked))
}

// quote shows a value in a fault: bounded, and safe on a terminal.
func quote(text []byte) string {
	const most = 60
	if len(text) > most {
		return strconv.Quote(string(text[:most])) + "…"
	}
	return strconv.Quote(string(text))
}
