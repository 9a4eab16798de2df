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

const (
	// sessionsOfUser is how many sessions a user may have at a time: more than
	// anybody has browsers, and few enough for whoever logs in over and over.
	sessionsOfUser = 20
	// networkRemembered is for how long it counts that a user logged in from a
	// network: longer than a holiday.
	networkRemembered = 30 * 24 * time.Hour
)

// AddSession logs a user in, for as long as the session lasts. It ends before, if
// the user is disabled, or gets another password, role or other groups than he
// has in it; or when he has logged in twenty times since.
func (s *Store) AddSession(ctx context.Context, in call.Session) error {
	name := in.User.Name
	mark, err := userMark(&in.User)
	if err != nil {
		return err
	}
	actor := audit.ActorOf(ctx)
	err = s.change(ctx, func(ctx context.Context, t *tx) error {
		var n int64
		err := t.act(ctx, actor, `INSERT INTO sessions (hash, user_name, user_mark, logged_in_at, expires_at)
			VALUES (?, ?, ?, {now}, {now} + CAST(? AS BIGINT)) RETURNING `+sessionColumns,
			[]any{in.Hash[:], name, mark, in.Lasts.Milliseconds()}, sessionEntry(audit.UserLoggedIn, ""), &n)
		if err != nil {
			return err
		}
		err = t.act(ctx, actor, `DELETE FROM sessions WHERE user_name = ? AND hash <> ? AND hash NOT IN (
			SELECT hash FROM sessions WHERE user_name = ? AND hash <> ? ORDER BY logged_in_at DESC, hash LIMIT ?) RETURNING `+sessionColumns,
			[]any{name, in.Hash[:], name, in.Hash[:], sessionsOfUser - 1}, sessionEntry(audit.UserLoggedOut, "too many newer logins"), &n)
		if err != nil {
			return err
		}
		return t.exec(ctx, `INSERT INTO login_networks (user_name, network, logged_in_at) VALUES (?, ?, {now})
			ON CONFLICT (user_name, network) DO UPDATE SET logged_in_at = excluded.logged_in_at`, name, in.Network)
	})
	if err != nil {
		return fmt.Errorf("log in user %s: %w", name, err)
	}
	return nil
}

// HasLoggedInFrom reports whether a user of this name has logged in from a
// network, a CIDR, within the last thirty days.
func (s *Store) HasLoggedInFrom(ctx context.Context, name, network string) (has bool, err error) {
	err = s.each(ctx, "SELECT 1 FROM login_networks WHERE user_name = ? AND network = ? AND logged_in_at > {now} - CAST(? AS BIGINT)",
		[]any{name, network, networkRemembered.Milliseconds()}, func(*sql.Rows) error { has = true; return nil })
	if err != nil {
		return false, fmt.Errorf("read the networks of logins: %w", err)
	}
	return has, nil
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

// sessionColumns are those of which the log tells.
const sessionColumns = "user_name, hash, user_mark, expires_at"

// loginFacts is what the log says of a session. Earlier versions said nothing.
type loginFacts struct {
	Session string `json:"session_fingerprint"`
}

func sessionFingerprint(hash, mark []byte, expires string) string {
	return fingerprint("session", fmt.Appendf(nil, "%x %x %s", hash, mark, expires))
}

func sessionEntry(action audit.Action, reason string) func(row) (audit.Entry, error) {
	return func(r row) (audit.Entry, error) {
		var name string
		var hash, mark []byte
		var expires any // no number, if somebody has put it there: it must end all the same
		if err := r.Scan(&name, &hash, &mark, &expires); err != nil {
			return audit.Entry{}, err
		}
		e, err := audit.New(action, "user/"+name, loginFacts{sessionFingerprint(hash, mark, anyText(expires))})
		e.Reason = reason
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
	_, err := s.act(ctx, "DELETE FROM sessions WHERE hash = ? RETURNING "+sessionColumns, []any{hash[:]}, sessionEntry(audit.UserLoggedOut, ""))
	if err != nil {
		return fmt.Errorf("log out: %w", err)
	}
	return nil
}

// ForgetSessions deletes sessions that are over by their time, and networks from
// which nobody has logged in for so long that it does not count any more; of
// each at most some hundred. It returns how many sessions.
func (s *Store) ForgetSessions(ctx context.Context) (n int64, err error) {
	n, err = s.update(ctx, "DELETE FROM sessions WHERE hash IN (SELECT hash FROM sessions WHERE expires_at <= {now} ORDER BY expires_at LIMIT ?)", backgroundRows)
	if err != nil {
		return 0, fmt.Errorf("forget sessions: %w", err)
	}
	_, err = s.update(ctx, `DELETE FROM login_networks WHERE (user_name, network) IN (
		SELECT user_name, network FROM login_networks WHERE logged_in_at <= {now} - CAST(? AS BIGINT) ORDER BY logged_in_at LIMIT ?)`,
		networkRemembered.Milliseconds(), backgroundRows)
	if err != nil {
		return n, fmt.Errorf("forget the networks of logins: %w", err)
	}
	return n, nil
}
