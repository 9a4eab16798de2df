package reports

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/wneessen/go-mail"

	"callvault/internal/call"
)

// Notice is a short mail of plain text to one recipient.
type Notice struct {
	// ID makes the Message-ID, so that a mail system that gets a notice twice
	// can tell.
	ID            string
	Recipient     string
	Subject, Text string
	// At is the mail's date.
	At time.Time
}

// Postman sends notices the way in which reports are mailed. It is safe for
// concurrent use.
type Postman struct{ mail MailOptions }

// NewPostman makes a Postman. Its error is a fault of the options.
func NewPostman(o MailOptions) (*Postman, error) {
	if err := o.complete(); err != nil {
		return nil, err
	}
	return &Postman{o}, nil
}

// Send sends a notice or, without a mail server, writes it as an .eml file. An
// error says that it may not have arrived; it names neither user nor password.
func (p *Postman) Send(ctx context.Context, n Notice) error {
	message, err := p.message(n)
	if err != nil {
		return fmt.Errorf("write a notice: %w", err)
	}
	if p.mail.SMTP == nil {
		sum := sha256.Sum256([]byte(n.ID))
		path := filepath.Join(p.mail.Dir, fmt.Sprintf("notice-%s-%x.eml", n.At.UTC().Format("2006-01-02T150405Z"), sum[:8]))
		if err := os.MkdirAll(p.mail.Dir, 0o700); err != nil {
			return err
		}
		return writeMessage(message, path)
	}
	if result := p.mail.SMTP.send(ctx, message); result.state != call.MailSent {
		return errors.New(result.detail)
	}
	return nil
}

func (p *Postman) message(n Notice) (*mail.Msg, error) {
	message := mail.NewMsg()
	if err := message.From(p.mail.from.String()); err != nil {
		return nil, err
	}
	if err := message.To(n.Recipient); err != nil {
		return nil, err
	}
	message.SetDateWithValue(n.At)
	message.SetMessageIDWithValue(n.ID + "@" + p.mail.domain())
	message.Subject(oneLine(n.Subject))
	message.SetGenHeader("List-Id", fmt.Sprintf("Callvault alerts <alerts.%s>", p.mail.domain()))
	message.SetGenHeader("Auto-Submitted", "auto-generated")
	message.SetBodyString(mail.TypeTextPlain, n.Text)
	return message, nil
}
