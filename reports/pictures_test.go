package reports

import (
	"bytes"
	"context"
	"fmt"
	"image/png"
	"mime"
	"mime/multipart"
	"strings"
	"testing"

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
	parts := readParts(t, readMail(t, server.Messages()[0].Data))
	drawn, err := png.Decode(bytes.NewReader(parts[hoursPictureName]))
	if err != nil || drawn.Bounds().Dx() != chart.Width*chart.Density {
		t.Fatalf("the picture cannot be shown: %v", err)
	}
	if size := len(parts[hoursPictureName]); size > 40_000 {
		t.Errorf("the picture has %d bytes", size)
	}
	// mixed (related (alternative (text, HTML), picture), attachments)
	m := readMail(t, server.Messages()[0].Data)
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
