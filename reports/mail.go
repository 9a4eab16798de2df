package reports

import (
	"bytes"
	"errors"
	"fmt"
	htmltemplate "html/template"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	texttemplate "text/template"
	"time"

	"callvault/internal/call"
	"callvault/templates"
)

// defaultAttachmentLimit is MailOptions.AttachmentLimit when none is set.
const defaultAttachmentLimit = 20_000_000

// A mail lists the agents of both ends of the ranking, endAgents each, or all if
// they are no more than fewAgents.
const (
	endAgents = 5
	fewAgents = 12
)

// mailPage is what the mail's templates show. HTML and text say the same.
type mailPage struct {
	Subject, Title, Completeness, Bounds string
	Headlines                            []headline
	Hours                                []mailHour
	HoursPicture, TrendPicture           *mailPicture
	// PreviousName and UsualName say what the headlines are compared with, if
	// anything earlier is known.
	Compared                bool
	PreviousName, UsualName string
	// Trend is empty where earlier days are not known; TrendNote says which.
	Trend       []mailDay
	TrendNote   string
	Agents      []mailAgent
	Missing     []mailMissing
	MoreMissing string
	Attention   []string
	Attached    []string
	Linked      []mailLink
	Log         mailLog
	Footer      string
	Colors      map[string]string
}

// mailLog is the audit log's head, so that a mailbox is a witness of it. Note has
// the lines of the signed head; none if it was not sealed.
type mailLog struct {
	Text        string
	Note        []string
	Fingerprint string
}

// Earlier are what a headline figure is compared with, in the order of the names.
func (h headline) Earlier() []versus { return []versus{h.Previous, h.Usual} }

// mailHour is an hour of the day.
type mailHour struct {
	Hour                                 string
	Offered, Answered, Missed, Abandoned int64
}

// mailDay is a day of the trend.
type mailDay struct {
	Day                                  string
	Known                                bool
	Offered, Answered, Missed, Abandoned int64
}

// mailAgent is an agent, or says how many are left out at this place.
type mailAgent struct{ Name, Group, Answered, Connected, Unanswered, Talk, LeftOut string }

type mailMissing struct{ Number, Attempts, Last, Called, Group string }

// mailLink is a file too large for the mail; Address is empty when the server
// does not know its own.
type mailLink struct{ Name, Size, Address string }

// writeMail writes both forms of a run's mail and its pictures to a folder. The
// first line of the text is the subject.
func (r *Reporter) writeMail(run call.Run, b *built, dir string) ([]File, error) {
	page := b.figures.mailPage(run)
	pictures, err := page.writePictures(dir)
	if err != nil {
		return nil, fmt.Errorf("write mail: %w", err)
	}
	r.addFiles(page, run.ID, b.figures.Settings.Revision, slices.Concat(b.files, pictures))
	text, err := texttemplate.New(mailTextName).Funcs(texttemplate.FuncMap{"isolate": isolate}).ParseFS(templates.Files, mailTextName)
	if err != nil {
		return nil, fmt.Errorf("write mail: %w", err)
	}
	html, err := htmltemplate.ParseFS(templates.Files, mailHTMLName)
	if err != nil {
		return nil, fmt.Errorf("write mail: %w", err)
	}
	var plain, rich bytes.Buffer
	if err := errors.Join(text.Execute(&plain, page), html.Execute(&rich, page)); err != nil {
		return nil, fmt.Errorf("write mail: %w", err)
	}
	var files []File
	for _, form := range []struct {
		name, mediaType string
		content         *bytes.Buffer
	}{
		{mailTextName, "text/plain; charset=utf-8", &plain},
		{mailHTMLName, "text/html; charset=utf-8", &rich},
	} {
		file := File{Name: form.name, Path: filepath.Join(dir, form.name), MediaType: form.mediaType}
		if err := os.WriteFile(file.Path, form.content.Bytes(), 0o600); err != nil {
			return nil, err
		}
		files = append(files, file)
	}
	return append(files, pictures...), nil
}

// writePictures draws the page's pictures to a folder.
func (p *mailPage) writePictures(dir string) ([]File, error) {
	var files []File
	for _, picture := range []*mailPicture{p.HoursPicture, p.TrendPicture} {
		if picture == nil {
			continue
		}
		file, err := picture.write(dir)
		if err != nil {
			return nil, err
		}
		files = append(files, file)
	}
	return files, nil
}

func (f *Figures) mailPage(run call.Run) *mailPage {
	p := &mailPage{
		Title: f.title(), Completeness: f.Completeness(), Bounds: f.bounds(),
		Headlines: f.headlines(), Hours: f.mailHours(), Attention: f.attention(),
		Footer: fmt.Sprintf("Callvault %s · run %s, revision %d · SHA-256 of the input %s",
			f.Settings.Version, run.ID, f.Settings.Revision, f.InputHash),
		Colors: map[string]string{
			"ink": "#" + inkColor, "quiet": "#" + quietColor, "accent": "#" + accentColor,
			"wash": "#" + washColor, "line": "#" + lineColor, "good": "#" + goodColor,
			"bad": "#" + badColor, "warn": "#" + warnColor,
		},
	}
	p.Log = mailLog{Text: f.Settings.Log.describe()}
	if log := f.Settings.Log; log != nil {
		p.Log.Note, p.Log.Fingerprint = strings.Split(log.note(), "\n"), log.fingerprint()
	}
	p.Subject = oneLine(fmt.Sprintf("%s · %s answered of %s offered", f.title(),
		percent(f.Inbound.AnswerRate()), count(f.Inbound.Calls)))
	f.addAgents(p)
	zone := f.Period.From.Location()
	for _, m := range f.FirstMissing {
		p.Missing = append(p.Missing, mailMissing{
			nameOf(m.Number), count(int64(m.Attempts)),
			time.UnixMilli(m.LastAt).In(zone).Format("2 Jan 15:04"), nameOf(m.Called), nameOf(m.Group),
		})
	}
	if more := f.Missing - int64(len(f.FirstMissing)); more > 0 {
		p.MoreMissing = "and " + f.leftOut(more)
	}
	p.Compared = f.Previous.Known || f.Usual.Known
	p.PreviousName, p.UsualName = f.previousName(), f.usualName()
	p.Trend, p.TrendNote = f.mailTrend(), f.trendNote()
	p.HoursPicture, p.TrendPicture = f.hoursPicture(run, p.Hours), f.trendPicture(run, p.Trend)
	return p
}

// addAgents lists the ends of the ranking. Who had no call is on neither.
func (f *Figures) addAgents(p *mailPage) {
	active := slices.DeleteFunc(slices.Clone(f.Agents), func(a *AgentFigures) bool { return a.First.IsZero() })
	left := 0
	if len(active) > fewAgents {
		left = len(active) - 2*endAgents
	}
	for i, a := range active {
		switch {
		case left > 0 && i == endAgents:
			p.Agents = append(p.Agents, mailAgent{LeftOut: f.leftOut(int64(left))})
		case left > 0 && i > endAgents && i < endAgents+left:
		default:
			p.Agents = append(p.Agents, mailAgent{
				Name: nameOf(label(a.Agent)), Group: nameOf(a.Group), Answered: count(a.Inbound.Answered()),
				Connected: count(a.Outbound.Answered()), Unanswered: count(a.Unanswered), Talk: clock(float64(a.TalkSeconds())),
			})
		}
	}
}

// leftOut says how many a mail leaves out, and where they are.
func (f *Figures) leftOut(n int64) string {
	if slices.Contains(f.Settings.Formats, XLSX) {
		return count(n) + " more in the workbook"
	}
	return count(n) + " more"
}

// addFiles tells which of a run's files are attached, and where the others are:
// those of this revision, whatever comes later.
func (r *Reporter) addFiles(p *mailPage, runID string, revision int, files []File) {
	kept := make([]call.RunFile, len(files))
	for i, file := range files {
		kept[i] = call.RunFile{Name: file.Name, Size: file.Size}
	}
	attached, linked := chooseAttachments(kept, r.mail.AttachmentLimit)
	for _, file := range attached {
		p.Attached = append(p.Attached, file.Name)
	}
	for _, file := range linked {
		link := mailLink{Name: file.Name, Size: fmt.Sprintf("%.1f MB", float64(file.Size)/1e6)}
		if r.publicURL != "" {
			link.Address = fmt.Sprintf("%s/reports/%s/files/%s?revision=%d", r.publicURL, runID, url.PathEscape(file.Name), revision)
		}
		p.Linked = append(p.Linked, link)
	}
}

// encodedSize is how many bytes a file takes in a mail: four for three, and a
// line break (two bytes) every 76.
func encodedSize(size int64) int64 {
	encoded := (size + 2) / 3 * 4
	return encoded + (encoded+75)/76*2
}

// chooseAttachments divides a run's files into those that fit into a mail, in
// order, and those that do not. limit counts bytes after base64, those of the
// pictures, which are in every mail, too.
func chooseAttachments(files []call.RunFile, limit int64) (attached, linked []call.RunFile) {
	for _, f := range files {
		if isPicture(f.Name) {
			limit -= encodedSize(f.Size)
		}
	}
	for _, f := range files {
		if !isAttachment(f.Name) {
			continue
		}
		encoded := encodedSize(f.Size)
		if encoded > limit {
			linked = append(linked, f)
			continue
		}
		limit -= encoded
		attached = append(attached, f)
	}
	return attached, linked
}

// mailHours are the hours from the first to the last that have inbound calls.
func (f *Figures) mailHours() []mailHour {
	first, last := len(f.Hours), -1
	for hour := range f.Hours {
		if f.Hours[hour].Inbound.Calls > 0 {
			first, last = min(first, hour), hour
		}
	}
	var hours []mailHour
	for hour := first; hour <= last; hour++ {
		t := &f.Hours[hour].Inbound
		hours = append(hours, mailHour{fmt.Sprintf("%02d", hour), t.Calls, t.Answered(), t.Missed(), t.Abandoned()})
	}
	return hours
}

// mailTrend are the days of the trend; none if only one is known.
func (f *Figures) mailTrend() []mailDay {
	var days []mailDay
	known := 0
	for i := range f.Trend {
		d := &f.Trend[i]
		day := mailDay{Day: d.From.Format("2 Jan"), Known: d.Known}
		if d.Known {
			in := &d.Inbound
			day.Offered, day.Answered, day.Missed, day.Abandoned = in.Calls, in.Answered(), in.Missed(), in.Abandoned()
			known++
		}
		days = append(days, day)
	}
	if known < 2 {
		return nil
	}
	return days
}

// attention lists what somebody should look at.
func (f *Figures) attention() []string {
	list := f.revised()
	r := &f.Total.Recordings
	for _, a := range []struct {
		n    int64
		noun string
		text string
	}{
		{f.Deliveries[call.Unreadable], "delivery", "could not be read: kept, to be decoded again"},
		{r.States[call.Refused], "recording", "refused: somebody must decide (sheet Recordings)"},
		{r.States[call.Absent], "recording", "not offered by the provider in time (sheet Recordings)"},
		{r.States[call.Pending], "recording", "not fetched yet (sheet Recordings)"},
		{r.NotNamed, "answered call", "without a recording named by the provider"},
		{r.Shorter, "call", "with less audio than talk time"},
		{f.OutsideCalls, "outbound call", "outside the permitted hours (sheet Outside hours)"},
		{f.Total.Unknown, "call", "of unknown outcome, not counted"},
		{f.NoStart, "call", "without a start, not counted"},
	} {
		if a.n > 0 {
			list = append(list, plural(a.n, a.noun)+" "+a.text)
		}
	}
	return append(list, f.unknownAgents()...)
}
