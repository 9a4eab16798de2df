package reports

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	netmail "net/mail"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"time"

	"github.com/wneessen/go-mail"

	"callvault/internal/call"
)

// MailOptions say how mails are sent.
type MailOptions struct {
	// SMTP is the server; nil writes mails as .eml files to Dir.
	SMTP *SMTPServer
	// Dir is the folder for .eml files; it is made when missing.
	Dir string
	// From is the sender, with or without a name. Default
	// Callvault <callvault@localhost>.
	From string
	// AttachmentLimit is how large a mail's attachments may be together, in
	// bytes after base64. 0 means 20 MB; negative attaches nothing.
	AttachmentLimit int64
	// ResendUncertain sends a mail again when the connection was lost after
	// its last byte: it may then come twice. Otherwise a person decides.
	ResendUncertain bool

	from *netmail.Address
}

func (m *MailOptions) complete() (err error) {
	if m.From == "" {
		m.From = "Callvault <callvault@localhost>"
	}
	if m.AttachmentLimit == 0 {
		m.AttachmentLimit = defaultAttachmentLimit
	}
	if m.from, err = netmail.ParseAddress(m.From); err != nil {
		return fmt.Errorf("mail sender %q: %w", m.From, err)
	}
	return nil
}

func (m *MailOptions) domain() string {
	_, domain, _ := strings.Cut(m.from.Address, "@")
	return domain
}

// occasion is on which occasion a run is mailed.
type occasion int

const (
	// byItself mails it to those to whom none of its revisions has been begun,
	// and to those who must hear of the newest.
	byItself occasion = iota
	// onlyRevised mails it only to the latter.
	onlyRevised
	// byHand sends the newest revision to everybody who is not known to have got
	// it, also where the server refused, all tries failed or nobody knows.
	byHand
)

// mailRun begins the mails of a run's newest revision to those recipients who
// are to get it.
func (r *Reporter) mailRun(ctx context.Context, run call.Run, recipients []string, on occasion) error {
	if len(recipients) == 0 {
		return nil
	}
	run = run.At(run.Revision)
	mails, err := r.mailsOf(ctx, run)
	if err != nil {
		return err
	}
	var wanting []string
	for _, recipient := range recipients {
		m, begun := mails[recipient]
		again := false
		switch {
		case !begun && on == onlyRevised:
			continue
		case !begun:
		case m.Revision < run.Revision:
			if again, err = r.supersede(ctx, run, m, on); err != nil {
				return err
			}
		case m.State == call.MailRetry:
			again = on == byHand
		case m.State == call.MailUncertain && r.mail.ResendUncertain,
			on == byHand && (m.State == call.MailUncertain || m.State == call.MailRefused || m.State == call.MailFailed):
			if again, err = r.resend(ctx, m); err != nil {
				return err
			}
		}
		if !begun || again {
			wanting = append(wanting, recipient)
		}
	}
	if len(wanting) == 0 {
		return nil
	}
	return r.deliver(ctx, run, wanting)
}

// supersede reports whether the newest revision of a run is to follow the mail
// of an earlier one. If that is still to be tried again, it is not.
func (r *Reporter) supersede(ctx context.Context, run call.Run, m call.Mail, on occasion) (bool, error) {
	if on != byHand && m.Revision >= run.MailRevision {
		if m.State == call.MailUncertain && r.mail.ResendUncertain {
			_, err := r.resend(ctx, m) // mailAgain sends it
			return false, err
		}
		return false, nil
	}
	if m.State != call.MailRetry {
		return true, nil
	}
	return true, r.store.FinishMail(ctx, m.ID, call.MailFailed, fmt.Sprintf("revision %d is sent instead", run.Revision), 0)
}

// resend lets a mail be begun again. It is false when another process has just
// done so.
func (r *Reporter) resend(ctx context.Context, m call.Mail) (bool, error) {
	err := r.store.ResendMail(ctx, m.ID)
	if code := call.CodeOf(err); err != nil && (code == call.NotFound || code == call.Conflict) {
		return false, nil
	}
	return err == nil, err
}

// mailsOf are a run's mails, by recipient: of each that of the newest revision.
func (r *Reporter) mailsOf(ctx context.Context, run call.Run) (map[string]call.Mail, error) {
	mails, err := r.store.Mails(ctx, run.ID)
	if err != nil {
		return nil, err
	}
	of := make(map[string]call.Mail)
	for _, m := range mails {
		m.Revision = max(m.Revision, 1)
		if m.Revision >= of[m.Recipient].Revision {
			of[m.Recipient] = m
		}
	}
	return of, nil
}

// mailAgain tries again the mails whose time has come.
func (r *Reporter) mailAgain(ctx context.Context) error {
	due, err := r.store.DueMails(ctx)
	if err != nil {
		return err
	}
	type revision struct {
		run string
		n   int
	}
	recipients := make(map[revision][]string)
	var order []revision
	for _, m := range due {
		of := revision{m.RunID, m.Revision}
		if recipients[of] == nil {
			order = append(order, of)
		}
		recipients[of] = append(recipients[of], m.Recipient)
	}
	var faults []error
	for _, of := range order {
		run, err := r.store.Run(ctx, of.run)
		if err == nil && (run.State != call.RunBuilt || run.Revision < of.n) {
			continue // lost with the database, and not built again yet
		}
		if err == nil {
			err = r.deliver(ctx, run.At(of.n), recipients[of])
		}
		if err != nil {
			faults = append(faults, fmt.Errorf("mail run %s: %w", of.run, err))
		}
	}
	return errors.Join(faults...)
}

// deliver sends a revision of a run to recipients, each a message of their own. That one
// cannot be sent does not stop the others; the store knows what became of each.
func (r *Reporter) deliver(ctx context.Context, run call.Run, recipients []string) error {
	gone := run.FilesGone()
	if gone == "" && len(run.Files) == 0 {
		gone = fmt.Sprintf("the files of revision %d are not kept", run.Revision)
	}
	if gone != "" {
		return r.settle(ctx, run, recipients, sending{call.MailFailed, gone})
	}
	return r.inSpool(func(dir string) error {
		letter, err := r.openLetter(ctx, run, dir)
		if err != nil && ctx.Err() == nil {
			return errors.Join(err, r.settle(ctx, run, recipients, sending{call.MailRetry, "the report's files could not be read from the vault"}))
		}
		if err != nil {
			return err
		}
		if letter.shows {
			return r.settle(ctx, run, recipients, sending{call.MailFailed, r.whyNotShown(run)})
		}
		for _, recipient := range recipients {
			if err := r.deliverTo(ctx, run, letter, recipient); err != nil {
				return fmt.Errorf("mail to %s: %w", recipient, err)
			}
		}
		return nil
	})
}

// settle records tries that ended before anything could be sent: those that may
// be made again are followed by longer and longer waits, and given up as any
// other.
func (r *Reporter) settle(ctx context.Context, run call.Run, recipients []string, result sending) error {
	for _, recipient := range recipients {
		m, send, err := r.beginMail(ctx, run, recipient)
		if err == nil && send {
			err = r.finish(ctx, m, result)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// beginMail commits the intent before anything is sent: a process that dies
// from here on leaves an uncertain mail, never an unknown one.
func (r *Reporter) beginMail(ctx context.Context, run call.Run, recipient string) (call.Mail, bool, error) {
	return r.store.BeginMail(ctx, call.Mail{
		RunID: run.ID, Revision: run.Revision, Recipient: recipient, MessageID: r.messageID(run, recipient),
	})
}

func (r *Reporter) deliverTo(ctx context.Context, run call.Run, letter *letter, recipient string) error {
	m, send, err := r.beginMail(ctx, run, recipient)
	if err != nil || !send {
		return err
	}
	message, err := r.message(run, letter, m)
	if err != nil {
		return r.finish(ctx, m, sending{call.MailRefused, err.Error()})
	}
	var result sending
	if r.mail.SMTP == nil {
		result = r.writeLetter(run, message, m)
	} else {
		result = r.mail.SMTP.send(ctx, message)
	}
	return r.finish(ctx, m, result)
}

// retryDelays are the waits between the tries to send a mail; the last repeats.
var retryDelays = [...]time.Duration{time.Minute, 2 * time.Minute, 5 * time.Minute,
	10 * time.Minute, 20 * time.Minute, 40 * time.Minute, time.Hour}

// finish records what became of a try, also when ctx has just ended: the mail
// has been sent or not.
func (r *Reporter) finish(ctx context.Context, m call.Mail, s sending) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 10*time.Second)
	defer cancel()
	if s.state == call.MailUncertain && r.mail.ResendUncertain {
		s.state = call.MailRetry
	}
	var delay time.Duration
	if s.state == call.MailRetry {
		delay = retryDelays[min(max(m.Attempts-1, 0), len(retryDelays)-1)]
		if !m.CreatedAt.IsZero() && r.now().Add(delay).Sub(m.CreatedAt) > mailWindow {
			s.state, delay = call.MailFailed, 0
		}
	}
	attributes := []any{"run", m.RunID, "recipient", m.Recipient, "state", s.state, "detail", s.detail}
	switch s.state {
	case call.MailSent:
		r.log.InfoContext(ctx, "report mailed", attributes...)
	case call.MailRetry:
		r.log.WarnContext(ctx, "report not mailed yet", append(attributes, "next_try_in", delay)...)
	default:
		r.log.ErrorContext(ctx, "report not mailed", attributes...)
	}
	return r.store.FinishMail(ctx, m.ID, s.state, s.detail, delay)
}

// messageID is the same for all tries, so that a mail system that gets two
// copies can tell.
func (r *Reporter) messageID(run call.Run, recipient string) string {
	sum := sha256.Sum256([]byte(strings.ToLower(recipient)))
	return fmt.Sprintf("%s.r%d.%s@%s", run.ID, run.Revision, hex.EncodeToString(sum[:8]), r.mail.domain())
}

// letter is what all mails of a run have in common.
type letter struct {
	subject, text, html   string
	pictures, attachments []attachment
	// shows: it has customers' numbers, and its report hides them by now.
	shows bool
}

type attachment struct{ name, path, mediaType string }

// openLetter gets from the vault what a run's mails are made of.
func (r *Reporter) openLetter(ctx context.Context, run call.Run, dir string) (*letter, error) {
	l := new(letter)
	read := func(f call.RunFile) (string, error) {
		path, err := r.fetch(ctx, f, dir)
		if err != nil {
			return "", err
		}
		content, err := os.ReadFile(path)
		return string(content), err
	}
	l.shows = r.hides(run.Report)
	var err error
	for _, f := range run.Files {
		switch f.Name {
		case inputName:
			if l.shows {
				l.shows, err = r.showsNumbers(ctx, f)
			}
		case mailTextName:
			l.text, err = read(f)
		case mailHTMLName:
			l.html, err = read(f)
		}
		if err == nil && isPicture(f.Name) {
			var path string
			path, err = r.fetch(ctx, f, dir)
			l.pictures = append(l.pictures, attachment{f.Name, path, f.MediaType})
		}
		if err != nil {
			return nil, err
		}
	}
	attached, _ := chooseAttachments(run.Files, r.mail.AttachmentLimit)
	for _, f := range attached {
		path, err := r.fetch(ctx, f, dir)
		if err != nil {
			return nil, err
		}
		l.attachments = append(l.attachments, attachment{f.Name, path, f.MediaType})
	}
	l.subject, _, _ = strings.Cut(l.text, "\n")
	return l, nil
}

func (r *Reporter) message(run call.Run, l *letter, m call.Mail) (*mail.Msg, error) {
	message := mail.NewMsg(mail.WithNoDefaultUserAgent())
	message.FromMailAddress(r.mail.from)
	if err := message.To(m.Recipient); err != nil {
		return nil, err
	}
	date := m.Date()
	if date.IsZero() {
		date = r.now()
	}
	message.SetDateWithValue(date)
	message.SetMessageIDWithValue(m.MessageID)
	message.Subject(l.subject)
	message.SetGenHeader("List-Id", fmt.Sprintf("Callvault %s <%s.reports.%s>", run.Report, run.Report, r.mail.domain()))
	message.SetGenHeader("Auto-Submitted", "auto-generated")
	message.SetBulk()
	message.SetBodyString(mail.TypeTextPlain, l.text)
	message.AddAlternativeString(mail.TypeTextHTML, l.html)
	for _, p := range l.pictures {
		message.EmbedFile(p.path, mail.WithFileName(p.name), mail.WithFileContentType(mail.ContentType(p.mediaType)),
			mail.WithFileContentID("<"+contentID(run.ID, run.Revision, p.name)+">"))
	}
	for _, a := range l.attachments {
		message.AttachFile(a.path, mail.WithFileName(a.name), mail.WithFileContentType(mail.ContentType(a.mediaType)))
	}
	return message, nil
}

var unsafeInName = regexp.MustCompile(`[^A-Za-z0-9@._+-]+`)

// writeLetter writes a mail as a file instead of sending it.
func (r *Reporter) writeLetter(run call.Run, message *mail.Msg, m call.Mail) sending {
	path := filepath.Join(r.mail.Dir, letterName(run, m.Recipient))
	err := os.MkdirAll(r.mail.Dir, 0o700)
	if err == nil {
		err = writeMessage(message, path)
	}
	if err != nil {
		return sending{call.MailRetry, err.Error()}
	}
	return sending{call.MailSent, path}
}

// letterName names the file of a mail. The hash keeps apart what is the same
// without it: recipients that differ in an unsafe character or in case, and a
// week's report from its Monday's.
func letterName(run call.Run, recipient string) string {
	safe := unsafeInName.ReplaceAllString(recipient, "_")
	sum := sha256.Sum256([]byte(run.ID + "\x00" + recipient))
	return fmt.Sprintf("%s-%s-r%d-%s-%x.eml", run.Report, run.PeriodFrom.In(location(run.Zone)).Format(time.DateOnly),
		run.Revision, safe[:min(len(safe), 100)], sum[:4])
}

// writeMessage writes a mail to a file that only the owner can read. Whoever
// watches the folder sees whole mails only.
func writeMessage(message *mail.Msg, path string) error {
	part, err := os.OpenFile(path+".part", os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	_, err = message.WriteTo(part)
	if err := errors.Join(err, part.Close()); err != nil {
		return err
	}
	return os.Rename(path+".part", path)
}

// location loads a zone, or UTC if the name is not known any more.
func location(name string) *time.Location {
	zone, err := time.LoadLocation(name)
	if err != nil {
		return time.UTC
	}
	return zone
}
