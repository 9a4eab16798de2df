package webhook

import (
	"strconv"
	"strings"
	"sync"

	"github.com/nyaruka/phonenumbers"
)

// phones writes phone numbers in one form. It remembers what it found, for
// parsing is slow and the same agents and business numbers come again and
// again.
type phones struct {
	region string
	// worldFirst: numbers come with a country code but without +.
	worldFirst bool

	mu sync.Mutex
	// young and old bound the memory: when young is full it becomes old, and
	// the numbers that are still asked for move over again.
	young, old map[string]string
}

// phonesKept is how many numbers a generation holds: some 200 bytes each.
const phonesKept = 4096

func newPhones(region string, worldFirst bool) *phones {
	return &phones{region: region, worldFirst: worldFirst, young: make(map[string]string)}
}

// normalize returns a number in E.164 if it is a valid one, else its digits as
// they came. A text without digits is no number.
func (p *phones) normalize(raw string) string {
	if nothing(raw) || len(raw) > maxKey {
		return ""
	}
	p.mu.Lock()
	number, known := p.young[raw]
	if !known {
		if number, known = p.old[raw]; known {
			p.remember(raw, number)
		}
	}
	p.mu.Unlock()
	if known {
		return number
	}
	number = p.parse(raw)
	p.mu.Lock()
	p.remember(raw, number)
	p.mu.Unlock()
	return number
}

func (p *phones) remember(raw, number string) {
	if len(p.young) >= phonesKept {
		p.old, p.young = p.young, make(map[string]string)
	}
	p.young[raw] = number
}

func (p *phones) parse(raw string) string {
	if strings.ContainsAny(raw, ".eE") {
		// A JSON number that went through a float on its way.
		if f, err := strconv.ParseFloat(raw, 64); err == nil && f > 0 && f < 1e15 {
			raw = strconv.FormatInt(int64(f), 10)
		}
	}
	digits := strings.Map(func(r rune) rune {
		if r < '0' || r > '9' {
			return -1
		}
		return r
	}, raw)
	if strings.Trim(digits, "0") == "" {
		return ""
	}
	world := func() string {
		if number := plainWorld(digits); number != "" {
			return number
		}
		return valid("+"+digits, "")
	}
	here := func() string {
		if number := plain(digits, p.region); number != "" {
			return number
		}
		return valid(digits, p.region)
	}
	tries := [...]func() string{here, world}
	if p.worldFirst || strings.HasPrefix(strings.TrimSpace(raw), "+") {
		tries = [...]func() string{world, here}
	}
	for _, try := range tries {
		if number := try(); number != "" {
			return number
		}
	}
	return digits
}

// plain returns a number in E.164 if it is a valid one of the region, with or
// without trunk prefix. "" leaves it to valid, which finds the same and more but
// needs several times as long.
func plain(digits, region string) string {
	code := phonenumbers.GetCountryCodeForRegion(region)
	trunk := phonenumbers.GetNddPrefixForRegion(region, true)
	if code == 0 || trunk == "" {
		return ""
	}
	return join(code, strings.TrimPrefix(digits, trunk), region)
}

// plainWorld does the same for a number that begins with its country code.
func plainWorld(digits string) string {
	for n := 1; n <= 3 && n < len(digits); n++ {
		code, err := strconv.Atoi(digits[:n])
		if err != nil || code == 0 {
			return ""
		}
		// No country code is the beginning of another one.
		if region := phonenumbers.GetRegionCodeForCountryCode(code); region != phonenumbers.UNKNOWN_REGION {
			return join(code, digits[n:], region)
		}
	}
	return ""
}

func join(code int, national, region string) string {
	if len(national) > 15 || national == "" || national[0] == '0' {
		return ""
	}
	n, err := strconv.ParseUint(national, 10, 64)
	if err != nil || !phonenumbers.IsValidNumberForRegion(&phonenumbers.PhoneNumber{
		CountryCode: new(int32(code)), NationalNumber: &n}, region) {
		return ""
	}
	return "+" + strconv.Itoa(code) + national
}

// valid returns a number in E.164, or "" if it is not a valid one.
func valid(number, region string) string {
	if region == "" && number[0] != '+' {
		return ""
	}
	var n phonenumbers.PhoneNumber
	if phonenumbers.ParseToNumber(number, region, &n) != nil || !phonenumbers.IsValidNumber(&n) {
		return ""
	}
	return phonenumbers.Format(&n, phonenumbers.E164)
}

// NormalizeNumber is the form in which a number that somebody typed stands in
// calls of accounts of a region: E.164 if it is a valid number, else its digits.
func NormalizeNumber(number, region string) string { return newPhones(region, false).normalize(number) }
