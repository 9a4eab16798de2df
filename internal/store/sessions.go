package store

import (
	"bytes"
	"context"
	"crypto/sha256"
	"database/sql"
	"encoding/json"
	"fmt"
	"time"

	"callvault/internal/audit"
	"callvault/internal/call"
)

// AddSession logs a user in, for as long as it lasts: hash is the SHA-256 of the
// session's token. The session ends before, if the user is disabled, or gets
// another password, role or other groups than u has.
func (s *Store) AddSession(ctx context.Context, hash [32]byte, u call.User, lasts time.Duration) error {
	mark, err := userMark(&u)
	if err != nil {
		return err
	}
	_, err = s.act(ctx, `INSERT INTO sessions (hash, user_name, user_mark, logged_in_at, expires_at)
		VALUES (?, ?, ?, {now}, {now} + CAST(? AS BIGINT)) RETURNING user_name`,
		[]any{hash[:], u.Name, mark, lasts.Milliseconds()}, sessionEntry(audit.UserLoggedIn))
	if err != nil {
		return fmt.Errorf("log in user %s: %w", u.Name, err)
	}
	return nil
}

// userMark is another one when anything has changed on which a login rests.
func userMark(u *call.User) ([]byte, error) {
	groups, err := groupsText(u.Groups)
	if err != nil {
		return nil, err
	}
	text, err := json.Marshal([]string{u.PasswordHash, string(u.Role), groups})
	if err != nil {
		return nil, err
	}
	sum := sha256.Sum256(text)
	return sum[:], nil
}

func sessionEntry(action audit.Action) func(row) (audit.Entry, error) {
	return func(r row) (audit.Entry, error) {
		e := audit.Entry{Action: action}
		var name string
		err := r.Scan(&name)
		e.Subject = "user/" + name
		return e, err
	}
}

// SessionUser returns the user, as he is now, whose session's token has this
// SHA-256, or a call.NotFound error if there is no session, or it is over.
func (s *Store) SessionUser(ctx context.Context, hash [32]byte) (call.User, error) {
	var u call.User
	var mark []byte
	err := s.each(ctx, "SELECT "+userColumns+", user_mark FROM sessions JOIN users ON name = user_name WHERE hash = ? AND expires_at > {now} AND disabled = 0",
		[]any{hash[:]}, func(rows *sql.Rows) error { return scanUser(rows, &u, &mark) })
	if err != nil {
		return call.User{}, fmt.Errorf("read session: %w", err)
	}
	if mark != nil {
		now, err := userMark(&u)
		if err != nil {
			return call.User{}, err
		}
		if bytes.Equal(now, mark) {
			return u, nil
		}
	}
	return call.User{}, call.Errorf(call.NotFound, "there is no such session")
}

// EndSession logs out; that there is no such session is no error.
func (s *Store) EndSession(ctx context.Context, hash [32]byte) error {
	_, err := s.act(ctx, "DELETE FROM sessions WHERE hash = ? RETURNING user_name", []any{hash[:]}, sessionEntry(audit.UserLoggedOut))
	if err != nil {
		return fmt.Errorf("log out: %w", err)
	}
	return nil
}

// ForgetSessions deletes sessions that are over by their time, at most some
// hundred, and returns how many.
func (s *Store) ForgetSessions(ctx context.Context) (n int64, err error) {
	n, err = s.update(ctx, "DELETE FROM sessions WHERE hash IN (SELECT hash FROM sessions WHERE expires_at <= {now} ORDER BY expires_at LIMIT ?)", backgroundRows)
	if err != nil {
		return 0, fmt.Errorf("forget sessions: %w", err)
	}
	return n, nil
}
