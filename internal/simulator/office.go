package simulator

import (
	"fmt"
	"math"
	"math/rand/v2"
	"time"
)

// Agent is one of the simulated people who answer calls. Their extensions and
// numbers can be given to a configuration, so that reports show one person
// for calls of both providers.
type Agent struct {
	Name      string
	Group     string
	Extension string // at TeleCMI, without the app's id
	Number    string // E.164
}

// Agents are all simulated people, the same for every seed.
func Agents() []Agent {
	return []Agent{
		{"Asha Rao", "Billing", "203", "+919311122233"},
		{"Neil D'Souza", "Billing", "204", "+919820012345"},
		{"दीपा नायर", "Billing", "205", "+919845011223"},
		{"Ashish Verma", "Sales", "201", "+919810012345"},
		{"Priya Raghavan", "Sales", "202", "+919880033445"},
		{"فاطمہ خان", "Sales", "206", "+919900044556"},
		{"Zoë Fernandes", "Sales", "207", "+919930055667"},
		{"Harpreet Singh", "Support", "208", "+919811066778"},
		{"Meenakshi Sundaram", "Support", "209", "+919840077889"},
		{"Imran Qureshi", "Support", "210", "+919899088990"},
		{"Kavya Gowda", "Support", "211", "+919845099001"},
	}
}

// numbersOf are the business numbers of each group, in E.164: at CallerDesk
// and at TeleCMI.
func numbersOf(group string) (callerDesk, teleCMI string) {
	switch group {
	case "Billing":
		return "+918045671100", "+914440051100"
	case "Sales":
		return "+918045671200", "+914440051200"
	default:
		return "+918045671300", "+914440051300"
	}
}

// dice are random numbers that are the same for the same seed.
type dice struct{ *rand.Rand }

func newDice(seed uint64, day time.Time) dice {
	return dice{rand.New(rand.NewPCG(seed, uint64(day.Unix())))} //nolint:gosec // a made-up day is no secret
}

// chance is true in a share of the cases.
func (d dice) chance(share float64) bool { return d.Float64() < share }

// seconds is a whole number of seconds from low to high, both included.
func (d dice) seconds(low, high int) time.Duration {
	return time.Duration(low+d.IntN(high-low+1)) * time.Second
}

func pick[T any](d dice, from ...T) T { return from[d.IntN(len(from))] }

// weighted picks by weight.
func weighted(d dice, weights []weight) string {
	total := 0
	for _, w := range weights {
		total += w.parts
	}
	at := d.IntN(total)
	for _, w := range weights {
		if at -= w.parts; at < 0 {
			return w.name
		}
	}
	return ""
}

type weight struct {
	name  string
	parts int
}

// digits are count random decimal digits, the first never 0.
func (d dice) digits(count int) string {
	text := []byte{byte('1' + d.IntN(9))}
	for len(text) < count {
		text = append(text, byte('0'+d.IntN(10)))
	}
	return string(text)
}

// uuid is a random (version 4) UUID.
func (d dice) uuid() string {
	high := d.Uint64()&^0xF000 | 0x4000
	low := d.Uint64()&^(0xC000<<48) | 0x8000<<48
	return fmt.Sprintf("%08x-%04x-%04x-%04x-%012x",
		high>>32, high>>16&0xFFFF, high&0xFFFF, low>>48, low&0xFFFF_FFFF_FFFF)
}

// mobile is an Indian mobile number in E.164, of series that are in use.
func (d dice) mobile() string {
	series := pick(d, "9810", "9811", "9820", "9821", "9840", "9845", "9880", "9899", "9900", "9930", "9987")
	return fmt.Sprintf("+91%s%06d", series, d.IntN(1_000_000))
}

// timeOfDay is when a customer calls: busiest around 11:00 and 16:00.
func (d dice) timeOfDay() time.Duration {
	for {
		hour, spread := 11.0, 1.2
		if d.chance(0.48) {
			hour, spread = 16.0, 1.5
		}
		at := hour + spread*d.NormFloat64()
		if at >= 8.5 && at < 19.5 {
			return time.Duration(at*3600) * time.Second
		}
	}
}

// talk is how long people talk: mostly a minute or so, from 10 s to 12 min.
func (d dice) talk() time.Duration {
	for {
		seconds := 75 * math.Exp(0.85*d.NormFloat64())
		if seconds >= 10 && seconds <= 720 {
			return time.Duration(seconds) * time.Second
		}
	}
}
