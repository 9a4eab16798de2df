package store

import (
	"context"
	"database/sql"
	"fmt"
	"time"

	"callvault/internal/audit"
	"callvault/internal/call"
)

const mailColumns = "id, run_id, revision, recipient, message_id, state, detail, attempts, created_at, dated_at, next_try_at, sent_at"

func mailFields(m *call.Mail) []any {
	return []any{&m.ID, &m.RunID, &m.Revision, &m.Recipient, &m.MessageID, &m.State, &m.Detail, &m.Attempts, timeInto{&m.CreatedAt}, timeInto{&m.DatedAt}, timeInto{&m.NextTryAt}, timeInto{&m.SentAt}}
}

// mailEntry makes an entry of a mail's columns.
func mailEntry(action audit.Action) func(row) (audit.Entry, error) {
	return func(rows row) (audit.Entry, error) {
		var m call.Mail
		if err := rows.Scan(mailFields(&m)...); err != nil {
			return audit.Entry{}, err
		}
		return newMailEntry(action, &m)
	}
}

func newMailEntry(action audit.Action, m *call.Mail) (audit.Entry, error) {
	revision := 0 // as entries of the first have it
	if m.Revision > 1 {
		revision = m.Revision
	}
	return audit.New(action, "mail/"+m.ID, audit.MailFacts{
		ID: m.ID, RunID: m.RunID, Revision: revision, Recipient: m.Recipient, MessageID: m.MessageID, State: string(m.State), Detail: m.Detail,
		Attempts: m.Attempts, CreatedAt: m.CreatedAt, DatedAt: m.DatedAt, NextTryAt: m.NextTryAt, SentAt: m.SentAt,
	})
}

// mailLease is how long a node may take to hand one mail to the SMTP server
// before it is taken for dead: more than every time limit of the mailer
// together.
const mailLease = 15 * time.Minute

// BeginMail commits the intent to send the mail of a run's revision to a
// recipient, before SMTP's DATA. There is one row for each; send is false when another node is
// at it, or when it is sent, uncertain, refused or given up.
func (s *Store) BeginMail(ctx context.Context, m call.Mail) (begun call.Mail, send bool, err error) {
	actor := audit.ActorOf(ctx)
	err = s.change(ctx, func(ctx context.Context, t *tx) error {
		begun = call.Mail{}
		var err error
		send, err = t.one(ctx, `INSERT INTO mails (id, run_id, revision, recipient, message_id, state, attempts, created_at, lease_until)
			VALUES (?, ?, ?, ?, ?, 'sending', 1, {now}, {now} + ?)
			ON CONFLICT (run_id, revision, recipient) DO UPDATE SET state = 'sending', attempts = mails.attempts + 1, lease_until = excluded.lease_until
			WHERE mails.state = 'retry' RETURNING `+mailColumns,
			[]any{newID(), m.RunID, max(m.Revision, 1), m.Recipient, m.MessageID, mailLease.Milliseconds()}, mailFields(&begun)...)
		if err != nil {
			return err
		}
		if send {
			e, err := newMailEntry(audit.MailBegun, &begun)
			if err != nil {
				return err
			}
			e.Actor = actor
			return t.audit(ctx, e)
		}
		_, err = t.one(ctx, "SELECT "+mailColumns+" FROM mails WHERE run_id = ? AND revision = ? AND recipient = ?", []any{m.RunID, max(m.Revision, 1), m.Recipient}, mailFields(&begun)...)
		return err
	})
	if err != nil {
		return begun, false, fmt.Errorf("begin a mail: %w", err)
	}
	return begun, send, nil
}

// FinishMail commits what became of a mail; nextTry counts for
// call.MailRetry.
func (s *Store) FinishMail(ctx context.Context, id string, state call.MailState, detail string, nextTry time.Duration) error {
	_, err := s.act(ctx, `UPDATE mails SET state = ?, detail = ?, lease_until = NULL, next_try_at = {now} + ?,
		sent_at = CASE WHEN CAST(? AS TEXT) = 'sent' THEN {now} ELSE sent_at END WHERE id = ? RETURNING `+mailColumns,
		[]any{string(state), detail, nextTry.Milliseconds(), string(state), id}, mailEntry(audit.MailFinished))
	if err != nil {
		return fmt.Errorf("finish a mail: %w", err)
	}
	return nil
}

// DueMails returns the mails to be tried now. Those whose node died while it
// was sending become uncertain first: they may have arrived.
func (s *Store) DueMails(ctx context.Context) ([]call.Mail, error) {
	_, err := s.act(ctx, `UPDATE mails SET state = 'uncertain', lease_until = NULL, detail = 'the program ended while the mail was being sent'
		WHERE state = 'sending' AND lease_until < {now} RETURNING `+mailColumns, nil, mailEntry(audit.MailFinished))
	if err != nil {
		return nil, fmt.Errorf("find mails of dead nodes: %w", err)
	}
	return s.mails(ctx, "WHERE state = 'retry' AND next_try_at <= {now} ORDER BY next_try_at, id")
}

// ResendMail lets a mail that is refused, given up or uncertain be sent again,
// for as long as if it were new; its date stays. Another state is a call.NotFound error.
func (s *Store) ResendMail(ctx context.Context, id string) error {
	n, err := s.act(ctx, `UPDATE mails SET state = 'retry', next_try_at = {now}, dated_at = COALESCE(dated_at, created_at), created_at = {now}
		WHERE id = ? AND state IN ('refused', 'failed', 'uncertain') RETURNING `+mailColumns, []any{id}, mailEntry(audit.MailResent))
	if err != nil {
		return fmt.Errorf("resend a mail: %w", err)
	}
	if n == 0 {
		return call.Errorf(call.NotFound, "there is no such mail that could be sent again")
	}
	return nil
}

// Mails returns the mails of a run, by recipient and revision.
func (s *Store) Mails(ctx context.Context, runID string) ([]call.Mail, error) {
	return s.mails(ctx, "WHERE run_id = ? ORDER BY recipient, revision", runID)
}

func (s *Store) mails(ctx context.Context, where string, args ...any) ([]call.Mail, error) {
	var found []call.Mail
	err := s.each(ctx, "SELECT "+mailColumns+" FROM mails "+where, args, func(rows *sql.Rows) error {
		found = append(found, call.Mail{})
		return rows.Scan(mailFields(&found[len(found)-1])...)
	})
	if err != nil {
		return nil, fmt.Errorf("read mails: %w", err)
	}
	return found, nil
}
