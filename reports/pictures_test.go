package reports

import (
	"bytes"
	"context"
	"fmt"
	"image/png"
	"mime"
	"mime/multipart"
	"net/mail"
	"slices"
	"strings"
	"testing"

	"callvault/internal/call"
	"callvault/internal/testenv"
	"callvault/reports/chart"
)

// A picture is a part beside the HTML that shows it, below the name by which
// the HTML calls it, and neither is anything to open or to keep.
func TestPicturesAreInline(t *testing.T) {
	t.Parallel()
	server, smtp := smtpServer(t, testenv.SMTPOptions{})
	o := busyOffice(t)
	o.reporter(t, MailOptions{SMTP: smtp}, "ops@example.org").Look(context.Background())
	_, parts := testenv.ReadMail(t, server.Messages()[0].Data)
	drawn, err := png.Decode(bytes.NewReader(parts[hoursPictureName]))
	if err != nil || drawn.Bounds().Dx() != chart.Width*chart.Density {
		t.Fatalf("the picture cannot be shown: %v", err)
	}
	if size := len(parts[hoursPictureName]); size > 40_000 {
		t.Errorf("the picture has %d bytes", size)
	}
	// mixed (related (alternative (text, HTML), picture), attachments)
	m, err := mail.ReadMessage(bytes.NewReader(server.Messages()[0].Data))
	if err != nil {
		t.Fatal(err)
	}
	reader := multipart.NewReader(m.Body, boundaryOf(t, m.Header.Get("Content-Type"), "multipart/mixed"))
	related, err := reader.NextPart()
	if err != nil {
		t.Fatal(err)
	}
	inside := multipart.NewReader(related, boundaryOf(t, related.Header.Get("Content-Type"), "multipart/related"))
	texts, err := inside.NextPart()
	if err != nil {
		t.Fatal(err)
	}
	boundaryOf(t, texts.Header.Get("Content-Type"), "multipart/alternative")
	picture, err := inside.NextPart()
	if err != nil {
		t.Fatal(err)
	}
	disposition, _, err := mime.ParseMediaType(picture.Header.Get("Content-Disposition"))
	if err != nil || disposition != "inline" {
		t.Errorf("the picture is %q, %v", disposition, err)
	}
	id := strings.Trim(picture.Header.Get("Content-ID"), "<>")
	if id != "mail-hours.run-1.r1@callvault" || !bytes.Contains(parts["text/html"], []byte(`src="cid:`+id+`"`)) {
		t.Errorf("the picture is called %s:\n%s", id, parts["text/html"])
	}
}

func boundaryOf(t *testing.T, contentType, want string) string {
	t.Helper()
	kind, params, err := mime.ParseMediaType(contentType)
	if err != nil || kind != want {
		t.Fatalf("%q is no %s (%v)", contentType, want, err)
	}
	return params["boundary"]
}

// Who does not see the picture reads its figures.
func TestPicturesSayTheSame(t *testing.T) {
	t.Parallel()
	o := busyOffice(t)
	o.reporter(t, MailOptions{}, "ops@example.org").Look(context.Background())
	text, html := o.kept(mailTextName), o.kept(mailHTMLName)
	_, alt, _ := strings.Cut(html, ` alt="`)
	alt, _, _ = strings.Cut(alt, `"`)
	_, table, _ := strings.Cut(text, "Hour  Offered  Answered  Missed  Abandoned\n")
	table, _, _ = strings.Cut(table, "\n\n")
	hours := 0
	for line := range strings.Lines(table) {
		var hour string
		var offered, answered, missed, abandoned int64
		if _, err := fmt.Sscan(line, &hour, &offered, &answered, &missed, &abandoned); err != nil {
			t.Fatalf("%q: %v", line, err)
		}
		if want := fmt.Sprintf("%s: %d of %d", hour, answered, offered); !strings.Contains(alt, want) || offered != answered+missed+abandoned {
			t.Errorf("alt is %q, the text says %q", alt, line)
		}
		hours++
	}
	if hours < 2 || strings.Count(alt, " of ") != hours+1 {
		t.Errorf("%d hours in the text, alt %q", hours, alt)
	}
	for _, legend := range []string{"2 answered", "1 missed", "1 abandoned"} {
		if !strings.Contains(strings.ReplaceAll(html, "&nbsp;", " "), "> "+legend) {
			t.Errorf("no legend %q", legend)
		}
	}
}

// A day without inbound calls has nothing to draw.
func TestNoPictureOfNothing(t *testing.T) {
	t.Parallel()
	o := newOffice(t)
	o.reporter(t, MailOptions{}, "ops@example.org").Look(context.Background())
	for _, f := range o.store.runs[0].Files {
		if isPicture(f.Name) {
			t.Errorf("%s was drawn", f.Name)
		}
	}
	if html := o.kept(mailHTMLName); strings.Contains(html, "<img") || html == "" {
		t.Error("a picture is missing in the HTML")
	}
}

// kept is a file of the first run as the vault has it; empty if there is none.
func (o *office) kept(name string) string {
	for _, f := range o.store.runs[0].Files {
		if f.Name == name {
			return string(o.vault.files[f.ObjectKey])
		}
	}
	return ""
}

// Both forms compare the headline figures, and tell of the days before.
func TestMailComparesAndTellsTheTrend(t *testing.T) {
	t.Parallel()
	const in = call.Inbound
	o := earlier(t,
		spell{"2026-11-21", "sales", in, call.Answered, 6, 10, 60}, spell{"2026-11-21", "sales", in, call.Missed, 2, 10, -1},
		spell{"2026-11-20", "sales", in, call.Answered, 4, 20, 90}, spell{"2026-11-14", "sales", in, call.Answered, 20, 15, 60},
		spell{"2026-11-14", "sales", in, call.Abandoned, 5, 15, -1}, spell{"2026-11-01", "sales", in, call.Answered, 1, 15, 60},
	)
	o.reporter(t, MailOptions{}, "ops@example.org").Look(context.Background())
	text, html := o.kept(mailTextName), o.kept(mailHTMLName)
	for _, want := range []string{
		"Fri 20 Nov: 4, so +4 (+100 %); mean of 2 Saturdays before: 12.5, so −4.5 (−36 %)", // 25 and none, before that not known
		"Fri 20 Nov: 100 %, so −25 points; mean of 2 Saturdays before: 80 %, so −5 points",
		"INBOUND CALLS, THE LAST 30 DAYS\n", "  31 Oct      n/a\n", "  14 Nov       25        20       0          5\n", "  21 Nov        8         6       2          0\n",
	} {
		if !strings.Contains(text, want) {
			t.Errorf("the text lacks %q:\n%s", want, text)
		}
	}
	html = strings.ReplaceAll(html, "&#43;", "+")
	for _, want := range []string{
		">Fri 20 Nov</td>", ">mean of 2 Saturdays before</td>", "<span >+4 (+100 %)</span>", ">12.5</span>",
		`<span class="bad" style="color:#` + badColor + `">−25 points</span>`, `src="cid:mail-trend.run-1.r1@callvault"`,
		"by day: 23 Oct: n/a, ", "14 Nov: 20 of 25, ", "21 Nov: 6 of 8\"", "the last 30 days",
	} {
		if !strings.Contains(html, want) {
			t.Errorf("the HTML lacks %q", want)
		}
	}
	drawn, err := png.Decode(strings.NewReader(o.kept(trendPictureName)))
	if err != nil || drawn.Bounds().Dy() != chart.Height*chart.Density || len(o.kept(trendPictureName)) > 40_000 {
		t.Errorf("the picture cannot be shown: %v, %d bytes", err, len(o.kept(trendPictureName)))
	}
}

// Where nothing earlier is known the mail says so once.
func TestMailWithNothingToCompare(t *testing.T) {
	t.Parallel()
	o := busyOffice(t)
	o.store.calls = slices.DeleteFunc(o.store.calls, func(c call.CallWithRecordings) bool { return c.StartedAt.Before(at("2026-11-21 00:00:00")) })
	o.reporter(t, MailOptions{}, "ops@example.org").Look(context.Background())
	for _, form := range []string{o.kept(mailTextName), o.kept(mailHTMLName)} {
		if strings.Count(form, "Compared with earlier periods: ") != 1 || strings.Contains(form, "Fri 20 Nov") || strings.Contains(form, "mail-trend") || strings.Contains(form, "DAYS") {
			t.Errorf("it is compared:\n%s", form)
		}
	}
}
