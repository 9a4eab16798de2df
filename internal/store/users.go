package store

import (
	"context"
	"database/sql"
	"encoding/json"
	"fmt"
	"time"

	"callvault/internal/audit"
	"callvault/internal/call"
)

const userColumns = "name, role, user_groups, password_hash, created_at, disabled"

func scanUser(rows *sql.Rows, u *call.User, more ...any) error {
	var disabled int
	err := rows.Scan(append([]any{&u.Name, &u.Role, jsonInto{&u.Groups}, &u.PasswordHash, timeInto{&u.CreatedAt}, &disabled}, more...)...)
	u.Disabled = disabled != 0
	return err
}

// personColumns are those of which the log tells, of users ("user") and tokens
// ("token"); the last is the hash of what lets them in.
func personColumns(what string) string {
	columns := "name, role, user_groups, created_at, disabled, "
	if what == "token" {
		return columns + "hash"
	}
	return columns + "password_hash"
}

func personEntry(action audit.Action, what string) func(row) (audit.Entry, error) {
	return func(r row) (audit.Entry, error) {
		var f audit.PersonFacts
		var disabled int
		var hash []byte
		if err := r.Scan(&f.Name, &f.Role, jsonInto{&f.Groups}, timeInto{&f.CreatedAt}, &disabled, &hash); err != nil {
			return audit.Entry{}, err
		}
		f.Disabled, f.Fingerprint = disabled != 0, fingerprint(what, hash)
		return audit.New(action, what+"/"+f.Name, f)
	}
}

// AddUser adds a user; a name that is taken is a call.Conflict error.
func (s *Store) AddUser(ctx context.Context, u call.User) error {
	groups, err := groupsText(u.Groups)
	if err != nil {
		return err
	}
	n, err := s.act(ctx, "INSERT INTO users (name, role, user_groups, password_hash, created_at) VALUES (?, ?, ?, ?, {now}) ON CONFLICT (name) DO NOTHING RETURNING "+personColumns("user"),
		[]any{u.Name, string(u.Role), groups, u.PasswordHash}, personEntry(audit.UserAdded, "user"))
	if err != nil {
		return fmt.Errorf("add user %s: %w", u.Name, err)
	}
	if n == 0 {
		return call.Errorf(call.Conflict, "there is a user named %s already", u.Name)
	}
	return nil
}

func groupsText(groups []string) (string, error) {
	if groups == nil {
		groups = []string{}
	}
	text, err := json.Marshal(groups)
	return string(text), err
}

// Users returns all users, by name.
func (s *Store) Users(ctx context.Context) ([]call.User, error) {
	return s.users(ctx, "ORDER BY name")
}

// User returns one user, or a call.NotFound error.
func (s *Store) User(ctx context.Context, name string) (call.User, error) {
	users, err := s.users(ctx, "WHERE name = ?", name)
	if err != nil {
		return call.User{}, err
	}
	if len(users) == 0 {
		return call.User{}, call.Errorf(call.NotFound, "there is no user named %s", name)
	}
	return users[0], nil
}

func (s *Store) users(ctx context.Context, where string, args ...any) ([]call.User, error) {
	var users []call.User
	err := s.each(ctx, "SELECT "+userColumns+" FROM users "+where, args, func(rows *sql.Rows) error {
		users = append(users, call.User{})
		return scanUser(rows, &users[len(users)-1])
	})
	if err != nil {
		return nil, fmt.Errorf("read users: %w", err)
	}
	return users, nil
}

// SetPassword gives a user a new password, as its hash, and ends all his sessions.
func (s *Store) SetPassword(ctx context.Context, name, hash string) error {
	return s.changeUser(ctx, audit.UserPasswordChanged, name, "the password was changed", "UPDATE users SET password_hash = ? WHERE name = ?", hash, name)
}

// DisableUser shuts a user out, and ends all his sessions; the row stays, for what it
// stands in.
func (s *Store) DisableUser(ctx context.Context, name string) error {
	return s.changeUser(ctx, audit.UserDisabled, name, "the user was disabled", "UPDATE users SET disabled = 1 WHERE name = ?", name)
}

// changeUser changes a user and deletes his sessions: they are over by what they rest
// on, but one that somebody has put there would be a fault until its time is over.
func (s *Store) changeUser(ctx context.Context, action audit.Action, name, reason, query string, args ...any) error {
	actor := audit.ActorOf(ctx)
	var n, ended int64
	err := s.change(ctx, func(ctx context.Context, t *tx) error {
		err := t.act(ctx, actor, query+" RETURNING "+personColumns("user"), args, personEntry(action, "user"), &n)
		if err == nil {
			err = t.flush(ctx)
		}
		if err != nil || n == 0 {
			return err
		}
		return t.act(ctx, actor, "DELETE FROM sessions WHERE user_name = ? RETURNING "+sessionColumns, []any{name}, sessionEntry(audit.UserLoggedOut, reason), &ended)
	})
	return changed("user", name, n, err)
}

// changed is the error of a change of who was named; n is how many there were.
func changed(what, name string, n int64, err error) error {
	if err != nil {
		return fmt.Errorf("change %s %s: %w", what, name, err)
	}
	if n == 0 {
		return call.Errorf(call.NotFound, "there is no %s named %s", what, name)
	}
	return nil
}

const tokenColumns = "name, role, user_groups, hash, created_at, last_used_at, disabled"

func scanToken(rows *sql.Rows, t *call.Token) error {
	var hash []byte
	var disabled int
	err := rows.Scan(&t.Name, &t.Role, jsonInto{&t.Groups}, &hash, timeInto{&t.CreatedAt}, timeInto{&t.LastUsedAt}, &disabled)
	copy(t.Hash[:], hash)
	t.Disabled = disabled != 0
	return err
}

// AddToken adds a bearer token by its hash; a name that is taken is a
// call.Conflict error.
func (s *Store) AddToken(ctx context.Context, t call.Token) error {
	groups, err := groupsText(t.Groups)
	if err != nil {
		return err
	}
	n, err := s.act(ctx, "INSERT INTO tokens (name, role, user_groups, hash, created_at) VALUES (?, ?, ?, ?, {now}) ON CONFLICT (name) DO NOTHING RETURNING "+personColumns("token"),
		[]any{t.Name, string(t.Role), groups, t.Hash[:]}, personEntry(audit.TokenAdded, "token"))
	if err != nil {
		return fmt.Errorf("add token %s: %w", t.Name, err)
	}
	if n == 0 {
		return call.Errorf(call.Conflict, "there is a token named %s already", t.Name)
	}
	return nil
}

// Tokens returns all tokens, by name.
func (s *Store) Tokens(ctx context.Context) ([]call.Token, error) {
	return s.tokens(ctx, "ORDER BY name")
}

// tokenUseNoted is how exactly the last use of a token is noted: a busy
// program must not cause a write with every request.
const tokenUseNoted = 5 * time.Minute

// TokenByHash returns the token with this SHA-256 unless it is disabled, or a
// call.NotFound error, and notes its use.
func (s *Store) TokenByHash(ctx context.Context, hash [32]byte) (call.Token, error) {
	tokens, err := s.tokens(ctx, "WHERE hash = ? AND disabled = 0", hash[:])
	if err != nil {
		return call.Token{}, err
	}
	if len(tokens) == 0 {
		return call.Token{}, call.Errorf(call.NotFound, "there is no such token")
	}
	t := tokens[0]
	if time.Since(t.LastUsedAt) > tokenUseNoted {
		if _, err := s.update(ctx, "UPDATE tokens SET last_used_at = {now} WHERE name = ?", t.Name); err != nil {
			// Reading must go on while the database cannot be written.
			s.logger.WarnContext(ctx, "the use of a token could not be noted", "token", t.Name, "error", err)
		}
	}
	return t, nil
}

// DisableToken shuts a token out.
func (s *Store) DisableToken(ctx context.Context, name string) error {
	n, err := s.act(ctx, "UPDATE tokens SET disabled = 1 WHERE name = ? RETURNING "+personColumns("token"), []any{name}, personEntry(audit.TokenDisabled, "token"))
	return changed("token", name, n, err)
}

func (s *Store) tokens(ctx context.Context, where string, args ...any) ([]call.Token, error) {
	var tokens []call.Token
	err := s.each(ctx, "SELECT "+tokenColumns+" FROM tokens "+where, args, func(rows *sql.Rows) error {
		tokens = append(tokens, call.Token{})
		return scanToken(rows, &tokens[len(tokens)-1])
	})
	if err != nil {
		return nil, fmt.Errorf("read tokens: %w", err)
	}
	return tokens, nil
}
