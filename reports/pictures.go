package reports

import (
	"fmt"
	"image/color"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"callvault/internal/call"
	"callvault/reports/chart"
)

// The names of the pictures in a run's mail.
const (
	hoursPictureName = "mail-hours.png"
	trendPictureName = "mail-trend.png"
)

// isPicture reports whether a file of a run is shown in its mail.
func isPicture(name string) bool { return name == hoursPictureName || name == trendPictureName }

// mailPicture is a drawing in a mail. Alt is for those who cannot see it or to
// whom it is not shown: it has the figures.
type mailPicture struct {
	Name, CID, Alt string
	Width, Height  int
	Legend         []legendEntry
	columns        chart.Columns
}

type legendEntry struct{ Color, Text string }

// contentID is what the HTML of a run's mail calls a picture.
func contentID(run string, revision int, name string) string {
	return fmt.Sprintf("%s.%s.r%d@callvault", strings.TrimSuffix(name, ".png"), run, revision)
}

// stack begins a picture of inbound calls by what became of them.
func (f *Figures) stack(run call.Run, name string) *mailPicture {
	p := &mailPicture{
		Name: name, CID: contentID(run.ID, f.Settings.Revision, name),
		Width: chart.Width, Height: chart.Height,
	}
	for _, hex := range []string{goodColor, badColor, warnColor} {
		p.columns.Series = append(p.columns.Series, chart.Series{Color: rgb(hex)})
	}
	return p
}

// add adds a column.
func (p *mailPicture) add(label string, answered, missed, abandoned int64) {
	p.columns.Labels = append(p.columns.Labels, label)
	for i, n := range []int64{answered, missed, abandoned} {
		series := &p.columns.Series[i]
		series.Values = append(series.Values, n)
	}
}

// hoursPicture draws the hours of a mail; nil if there are none.
func (f *Figures) hoursPicture(run call.Run, hours []mailHour) *mailPicture {
	if len(hours) == 0 {
		return nil
	}
	p := f.stack(run, hoursPictureName)
	var figures []string
	for _, h := range hours {
		p.add(h.Hour, h.Answered, h.Missed, h.Abandoned)
		figures = append(figures, fmt.Sprintf("%s: %s of %s", h.Hour, count(h.Answered), count(h.Offered)))
	}
	p.Alt = "Answered of offered calls, by hour: " + strings.Join(figures, ", ")
	in := &f.Inbound
	p.Legend = []legendEntry{
		{"#" + goodColor, count(in.Answered()) + " answered"},
		{"#" + badColor, count(in.Missed()) + " missed"},
		{"#" + warnColor, count(in.Abandoned()) + " abandoned"},
	}
	return p
}

// labelEvery is how many days lie between two labels of the trend: they are of
// the weekday of its last day.
const labelEvery = 7

// trendPicture draws the days of a mail; nil if there are none. What is not
// known is left free.
func (f *Figures) trendPicture(run call.Run, days []mailDay) *mailPicture {
	if len(days) == 0 {
		return nil
	}
	p := f.stack(run, trendPictureName)
	var figures []string
	for i, d := range days {
		label, text := "", d.Day+": "+notAvailable
		if (len(days)-1-i)%labelEvery == 0 {
			label = d.Day
		}
		p.add(label, d.Answered, d.Missed, d.Abandoned)
		if d.Known {
			text = fmt.Sprintf("%s: %s of %s", d.Day, count(d.Answered), count(d.Offered))
		}
		figures = append(figures, text)
	}
	p.Alt = "Answered of offered calls, by day: " + strings.Join(figures, ", ")
	p.Legend = []legendEntry{{"#" + goodColor, "answered"}, {"#" + badColor, "missed"}, {"#" + warnColor, "abandoned"}}
	return p
}

// write draws the picture to a file in a folder.
func (p *mailPicture) write(dir string) (File, error) {
	drawn, err := p.columns.PNG()
	if err != nil {
		return File{}, err
	}
	f := File{Name: p.Name, Path: filepath.Join(dir, p.Name), MediaType: "image/png", Size: int64(len(drawn))}
	return f, os.WriteFile(f.Path, drawn, 0o600)
}

// rgb is a colour of the palette.
func rgb(hex string) color.Color {
	n, err := strconv.ParseUint(hex, 16, 24)
	if err != nil {
		return color.Black
	}
	return color.RGBA{uint8(n >> 16), uint8(n >> 8), uint8(n), 0xFF}
}
