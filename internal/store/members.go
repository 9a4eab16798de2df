package store

import (
	"context"
	"database/sql"
	"fmt"
	"time"

	"callvault/internal/call"
)

// Members returns what the lists of all accounts say.
func (s *Store) Members(ctx context.Context) ([]call.Member, error) {
	var list []call.Member
	err := s.each(ctx, "SELECT account, number, name FROM members ORDER BY account, number", nil, func(rows *sql.Rows) error {
		var m call.Member
		defer func() { list = append(list, m) }()
		return rows.Scan(&m.Account, &m.Number, &m.Name)
	})
	if err != nil {
		return nil, fmt.Errorf("read the members: %w", err)
	}
	return list, nil
}

// ClaimMemberList says whether the caller is the one to ask for an account's
// list now: nobody has for so long. Of several nodes that try at a time one
// may.
func (s *Store) ClaimMemberList(ctx context.Context, account string, after time.Duration) (bool, error) {
	n, err := s.update(ctx, `INSERT INTO member_lists (account, asked_at) VALUES (?, {now})
		ON CONFLICT (account) DO UPDATE SET asked_at = excluded.asked_at WHERE member_lists.asked_at <= {now} - ?`, account, after.Milliseconds())
	if err != nil {
		return false, fmt.Errorf("claim the list of members: %w", err)
	}
	return n == 1, nil
}

// SetMembers replaces the list of an account.
func (s *Store) SetMembers(ctx context.Context, account string, list []call.Member) error {
	return s.change(ctx, func(ctx context.Context, t *tx) error {
		err := t.later(ctx, statement{what: "forget the members", query: "DELETE FROM members WHERE account = ?", args: []any{account}})
		if err != nil {
			return err
		}
		return insertMany(ctx, t, "write the members", "INSERT INTO members (account, number, name)", "ttt", "", list,
			func(m call.Member, args []any) []any { return append(args, account, m.Number, m.Name) })
	})
}
