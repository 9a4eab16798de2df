package reports

import (
	"fmt"
	"math"

	"github.com/dustin/go-humanize"
)

// headline is one of the figures that people look at first, and how it compares
// with earlier periods.
type headline struct {
	Label, Value, Note string
	// Previous is against the period before, Usual against the mean of the same
	// weekday of the four weeks before (or of the four weeks or months).
	Previous, Usual versus

	// name and direction are those of the measure in CSV.
	name, direction string
	unit            unit
	value           float64
}

// versus is how a figure compares with an earlier one.
type versus struct {
	// Value is the earlier figure for people, n/a if it is not known, and empty
	// for a figure that cannot be compared.
	Value string
	// Change is the difference for people: "+12 (+4.8 %)", of rates "−3.2
	// points"; empty if either is not known.
	Change string
	// Better or Worse is set where it is clear which it is, else neither.
	Better, Worse bool

	value float64
}

// difference is by how much a figure is above the earlier one, NaN if either is
// not known; share is the same as a fraction of the earlier one.
func (v versus) difference(of float64) float64 { return of - v.value }

func (v versus) share(of float64) float64 {
	if v.value == 0 {
		return math.NaN()
	}
	return (of - v.value) / v.value
}

// goodness says which way a figure should go.
type goodness int

const (
	neither goodness = iota
	higher
	lower
)

// headlines are the figures that people look at first. Mail and workbook are
// both made of them.
func (f *Figures) headlines() []headline {
	lines := []headline{
		f.compared("Inbound calls offered", "calls", "inbound", counts, neither, func(d *DayFigures) float64 { return float64(d.Inbound.Calls) }),
		f.compared("Answer rate", "answer_rate", "inbound", rates, higher, func(d *DayFigures) float64 { return d.Inbound.AnswerRate() }),
		f.compared("Abandonment rate", "abandonment_rate", "inbound", rates, lower, func(d *DayFigures) float64 { return d.Inbound.AbandonmentRate() }),
		f.compared(fmt.Sprintf("Service level, within %d s", f.Settings.Within), "service_level", "inbound", rates, higher,
			func(d *DayFigures) float64 { return d.Inbound.ServiceLevel(f.Settings.Formula) }),
		f.compared("Average speed of answer", "asa", "inbound", seconds, lower, func(d *DayFigures) float64 { return d.Inbound.Wait.Mean() }),
		f.compared("Average handling time", "aht", "total", seconds, neither, func(d *DayFigures) float64 { return d.Total.Talk.Mean() }),
		f.compared("Outbound calls", "calls", "outbound", counts, neither, func(d *DayFigures) float64 { return float64(d.Outbound.Calls) }),
		f.compared("Connect rate", "connect_rate", "outbound", rates, higher, func(d *DayFigures) float64 { return d.Outbound.ConnectRate() }),
		// Earlier periods have had longer to call back.
		{Label: "To call back", Value: count(f.Missing), unit: counts, value: float64(f.Missing),
			Previous: versus{value: math.NaN()}, Usual: versus{value: math.NaN()}},
	}
	in, out := &f.Inbound, &f.Outbound
	judged := "no call was answered"
	if in.Answered() > 0 {
		judged = percent(in.Judged()) + " of answered calls judged"
	}
	notes := map[string]string{
		"Inbound calls offered": fmt.Sprintf("%s answered, %s missed, %s abandoned",
			count(in.Answered()), count(in.Missed()), count(in.Abandoned())),
		lines[3].Label:            judged,
		"Average speed of answer": count(in.Wait.Count()) + " with known wait",
		"Average handling time":   "talk alone",
		"Outbound calls":          count(out.Answered()) + " connected",
		"To call back":            count(f.Returned) + " called back",
	}
	for i := range lines {
		lines[i].Note = notes[lines[i].Label]
	}
	return lines
}

// compared is a headline figure beside its earlier ones.
func (f *Figures) compared(label, name, direction string, u unit, good goodness, of func(*DayFigures) float64) headline {
	value := of(&DayFigures{Inbound: f.Inbound, Outbound: f.Outbound, Total: f.Total})
	against := func(r *Reference) versus {
		earlier := math.NaN()
		if r.Known {
			earlier = of(&r.DayFigures)
			if u == counts {
				earlier /= float64(r.Periods)
			}
		}
		v := versus{Value: aboutPeople(earlier, u), value: earlier}
		// Of the figures as they are shown: who subtracts gets the same, and what
		// rounds to nothing is neither better nor worse.
		d := shown(value, u) - shown(earlier, u)
		v.Change = change(d, v.share(value), u)
		v.Better = good == higher && d > 0 || good == lower && d < 0
		v.Worse = good == higher && d < 0 || good == lower && d > 0
		return v
	}
	return headline{Label: label, Value: forPeople(value, u), name: name, direction: direction, unit: u, value: value,
		Previous: against(&f.Previous), Usual: against(&f.Usual)}
}

// aboutPeople writes a mean for people: of counts it may have a fraction.
func aboutPeople(v float64, u unit) string {
	if u == counts && !math.IsNaN(v) {
		return humanize.Commaf(math.Round(10*v) / 10)
	}
	return forPeople(v, u)
}

// shown is a figure as precise as people see it.
func shown(v float64, u unit) float64 {
	switch u {
	case rates:
		return math.Round(1000*v) / 1000
	case seconds:
		return math.Round(v)
	default:
		return math.Round(10*v) / 10
	}
}

// noChange stands where two figures look alike.
const noChange = "±0"

// change writes a difference for people, and what share it is: of rates in
// percentage points, of other figures also in percent.
func change(difference, share float64, u unit) string {
	if math.IsNaN(difference) {
		return ""
	}
	size := math.Abs(difference)
	if shown(size, u) == 0 {
		return noChange
	}
	var text string
	switch u {
	case rates:
		text = formatFloat(100*size, 1)
	case seconds:
		text = clock(size)
	default:
		text = aboutPeople(size, u)
	}
	sign := "+"
	if difference < 0 {
		sign = "−"
	}
	switch {
	case u == rates && text == "1":
		return sign + text + " point"
	case u == rates:
		return sign + text + " points"
	case math.IsNaN(share):
		return sign + text
	}
	return fmt.Sprintf("%s%s (%s%s %%)", sign, text, sign, formatFloat(100*math.Abs(share), 1))
}
