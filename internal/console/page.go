package console

import (
	"bytes"
	"crypto/sha256"
	"fmt"
	"html/template"
	"net/http"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"callvault/internal/audit"
	"callvault/internal/call"
	"callvault/templates"
)

// page is what a page shows around what it is about.
type page struct {
	Title string
	// User is who is logged in, empty if that is nobody.
	User string
	Body any
}

// The pages, each within the frame of page.html.
var (
	loginTemplate   = framed("login.html")
	fileTemplate    = framed("file.html")
	callTemplate    = framed("call.html")
	reportsTemplate = framed("reports.html")
	homeTemplate    = framed("home.html")
	faultTemplate   = framed("fault.html")
)

func framed(name string) *template.Template {
	return template.Must(template.New(name).ParseFS(templates.Files, "page.html", name))
}

// pagePolicy lets a page have its style, its audio and its forms from here, and
// nothing else: no scripts at all.
const pagePolicy = "default-src 'none'; style-src 'self'; img-src 'self'; media-src 'self'; form-action 'self'; frame-ancestors 'none'; base-uri 'none'"

// writePage answers with a page.
func writePage(w http.ResponseWriter, status int, t *template.Template, p page) error {
	var b bytes.Buffer
	if err := t.Execute(&b, p); err != nil {
		return fmt.Errorf("write page: %w", err)
	}
	body := bytes.ToValidUTF8(b.Bytes(), []byte("\uFFFD"))
	h := w.Header()
	h.Set("Content-Type", "text/html; charset=utf-8")
	// What was on it must not be there for whoever goes back after a logout.
	h.Set("Cache-Control", "no-store")
	h.Set("Content-Security-Policy", pagePolicy)
	// With no-referrer browsers would hide, from ourselves too, which site a form
	// comes from.
	h.Set("Referrer-Policy", "same-origin")
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Content-Length", strconv.Itoa(len(body)))
	w.WriteHeader(status)
	// A client that has gone needs no answer.
	_, _ = w.Write(body)
	return nil
}

// faultPage says why there is nothing to see.
type faultPage struct{ Head, Text string }

// writeFault tells a person of an error.
func writeFault(w http.ResponseWriter, r *http.Request, status int, message string) {
	head := "This cannot be done"
	switch status {
	case http.StatusForbidden:
		head = "This is not for you to see"
	case http.StatusNotFound:
		head = "There is nothing here"
	case http.StatusTooManyRequests:
		head = "Too many tries"
	case http.StatusServiceUnavailable:
		head = "Not just now"
	case http.StatusInternalServerError:
		head = "Something went wrong"
	}
	p := page{Title: head, Body: faultPage{head, sentence(message)}}
	if actor := audit.ActorOf(r.Context()); actor.Kind == audit.KindUser {
		p.User = actor.Name
	}
	if err := writePage(w, status, faultTemplate, p); err != nil { // two texts always fit in
		http.Error(w, message, status)
	}
}

// sentence makes one of a message of the API.
func sentence(message string) string {
	first, size := utf8.DecodeRuneInString(message)
	if size == 0 {
		return ""
	}
	return string(unicode.ToUpper(first)) + strings.TrimSuffix(message[size:], ".") + "."
}

func noPage(http.ResponseWriter, *http.Request) error {
	return call.Errorf(call.NotFound, "no page has this address")
}

// homePage says where what is.
type homePage struct{ Version, API string }

// home leads people to what they may see, and tells programs where the API is.
func (c *Console) home(w http.ResponseWriter, r *http.Request) error {
	if _, _, err := c.session(r); err == nil {
		http.Redirect(w, r, firstPath, http.StatusSeeOther)
		return nil
	}
	return writePage(w, http.StatusOK, homeTemplate, page{Title: "Callvault", Body: homePage{c.version, apiRoot}})
}

// stylePath is where the pages have their looks from.
const stylePath = "/static/console.css"

func serveStyle(w http.ResponseWriter, r *http.Request) error {
	style, err := templates.Files.ReadFile("console.css")
	if err != nil {
		return err
	}
	w.Header().Set("Cache-Control", "no-cache") // another version has another one
	w.Header().Set("ETag", fmt.Sprintf(`"%x"`, sha256.Sum256(style)))
	http.ServeContent(w, r, "console.css", time.Time{}, bytes.NewReader(style))
	return nil
}

// stamp is a time for people, and for programs that read the page.
type stamp struct{ Text, Machine string }

// stampOf is a time of the API's answers, as a clock of the zone shows it; nil
// for none.
func stampOf(at *string, zone *time.Location, layout string) *stamp {
	t := timeOf(at)
	if t.IsZero() {
		return nil
	}
	return &stamp{t.In(zone).Format(layout), *at}
}

// timeOf is the moment that the API's answers say, zero for none.
func timeOf(at *string) time.Time {
	if at == nil {
		return time.Time{}
	}
	t, err := time.Parse(time.RFC3339, *at)
	if err != nil { // it is one of moment's own
		return time.Time{}
	}
	return t
}

// The forms of times on pages.
const (
	dayClock  = "2 Jan 2006, 15:04:05"
	longDay   = "Monday 2 January 2006"
	dayMinute = "2 Jan 2006, 15:04"
)

// fact is one thing that is known, with its name.
type fact struct {
	Name string
	Text string
	// Time, if set, is the text.
	Time *stamp
	// Code: it is for machines to compare.
	Code bool
}

// facts are what is known of something, in an order for people.
type facts []fact

// text adds a text that is known.
func (f *facts) text(name string, value *string) {
	if value != nil {
		*f = append(*f, fact{Name: name, Text: *value})
	}
}

// code is text for machines.
func (f *facts) code(name string, value *string) {
	if value != nil {
		*f = append(*f, fact{Name: name, Text: *value, Code: true})
	}
}

func (f *facts) time(name string, at *stamp) {
	if at != nil {
		*f = append(*f, fact{Name: name, Time: at})
	}
}

func (f *facts) duration(name string, seconds *int) {
	if seconds != nil {
		*f = append(*f, fact{Name: name, Text: clockOf(*seconds)})
	}
}

// clockOf is a duration as 0:40 or 1:02:03.
func clockOf(seconds int) string {
	if seconds < 0 {
		return "−" + clockOf(-seconds)
	}
	if seconds < 3600 {
		return fmt.Sprintf("%d:%02d", seconds/60, seconds%60)
	}
	return fmt.Sprintf("%d:%02d:%02d", seconds/3600, seconds/60%60, seconds%60)
}
