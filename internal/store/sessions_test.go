package store_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"callvault/internal/audit"
	"callvault/internal/call"
	"callvault/internal/store"

	"github.com/google/go-cmp/cmp"
)

// actsOn are the entries of the audit log about users, as "who action subject".
func actsOn(t *testing.T, s *store.Store) []string {
	t.Helper()
	var acts []string
	for _, e := range must(s.AuditEntries(t.Context(), 0, 100))(t) {
		if strings.HasPrefix(e.Subject, "user/") {
			acts = append(acts, fmt.Sprintf("%s %s %s %s", e.Actor.Kind, e.Actor.Name, e.Action, e.Subject))
		}
	}
	return acts
}

// TestSessions: a login lasts until its time is over or somebody logs out, on
// every node, and is in the audit log.
func TestSessions(t *testing.T) {
	t.Parallel()
	forEachDatabase(t, func(t *testing.T, o store.Options) {
		s, other := open(t, o), open(t, o)
		asha := call.User{Name: "asha", Role: call.Manager, Groups: []string{"Sales"}, PasswordHash: "h"}
		ravi := call.User{Name: "ravi", Role: call.Viewer, PasswordHash: "h"}
		for _, u := range []call.User{asha, ravi} {
			if err := s.AddUser(t.Context(), u); err != nil {
				t.Fatal(err)
			}
		}
		ctx := audit.By(t.Context(), audit.Actor{Kind: audit.KindUser, Name: "asha"})
		for i, u := range []call.User{asha, asha, ravi} {
			if err := s.AddSession(ctx, call.Session{Hash: [32]byte{byte(i)}, User: u, Lasts: time.Hour}); err != nil {
				t.Fatal(err)
			}
		}
		if err := s.AddSession(ctx, call.Session{Hash: [32]byte{9}, User: asha, Lasts: -time.Second}); err != nil {
			t.Fatal(err)
		}
		got := must(other.SessionUser(t.Context(), [32]byte{1}))(t)
		got.CreatedAt = time.Time{}
		if diff := cmp.Diff(asha, got); diff != "" {
			t.Error(diff)
		}
		if got := must(other.SessionUser(t.Context(), [32]byte{2}))(t); got.Name != "ravi" {
			t.Errorf("the session of ravi is that of %s", got.Name)
		}
		none := func(what string, hash [32]byte) {
			t.Helper()
			if u, err := s.SessionUser(t.Context(), hash); call.CodeOf(err) != call.NotFound || u.Name != "" {
				t.Errorf("%s gives %+v, %v", what, u, err)
			}
		}
		none("a hash that nobody has", [32]byte{7})
		none("a session that is over", [32]byte{9})
		if n := must(s.ForgetSessions(t.Context()))(t); n != 1 {
			t.Errorf("%d sessions are forgotten", n)
		}
		if n := must(s.ForgetSessions(t.Context()))(t); n != 0 {
			t.Errorf("%d more are forgotten", n)
		}
		for range 2 {
			if err := other.EndSession(ctx, [32]byte{0}); err != nil {
				t.Fatal(err)
			}
		}
		none("a session that has ended", [32]byte{0})
		if got := must(s.SessionUser(t.Context(), [32]byte{1}))(t); got.Name != "asha" {
			t.Error("another login ended with it")
		}
		in := "user asha user.logged_in user/"
		want := []string{in + "asha", in + "asha", in + "ravi", in + "asha", "user asha user.logged_out user/asha"}
		acts := slices.DeleteFunc(actsOn(t, s), func(a string) bool { return strings.Contains(a, "user.added") })
		if diff := cmp.Diff(want, acts); diff != "" {
			t.Error(diff)
		}
	})
}

// TestSessionsEndWithWhatTheyRestOn: who is disabled, or has another password,
// role or other groups, has to log in again, wherever he was.
func TestSessionsEndWithWhatTheyRestOn(t *testing.T) {
	t.Parallel()
	forEachDatabase(t, func(t *testing.T, o store.Options) {
		s := open(t, o)
		db := raw(t, o)
		change := func(query string) func(string) error {
			return func(name string) error {
				_, err := db.ExecContext(t.Context(), strings.ReplaceAll(query, "NAME", "'"+name+"'"))
				return err
			}
		}
		for name, end := range map[string]func(string) error{
			"disabled": func(name string) error { return s.DisableUser(t.Context(), name) },
			"password": func(name string) error { return s.SetPassword(t.Context(), name, "another") },
			"role":     change("UPDATE users SET role = 'viewer' WHERE name = NAME"),
			"groups":   change(`UPDATE users SET user_groups = '["Sales"]' WHERE name = NAME`),
			"gone":     change("DELETE FROM users WHERE name = NAME"),
		} {
			u := call.User{Name: name, Role: call.Admin, PasswordHash: "h"}
			if err := s.AddUser(t.Context(), u); err != nil {
				t.Fatal(err)
			}
			hash := [32]byte([]byte(name + strings.Repeat(".", 32))[:32])
			if err := s.AddSession(t.Context(), call.Session{Hash: hash, User: u, Lasts: time.Hour}); err != nil {
				t.Fatal(err)
			}
			if _, err := s.SessionUser(t.Context(), hash); err != nil {
				t.Errorf("%s: %v", name, err)
			}
			if err := end(name); err != nil {
				t.Fatal(err)
			}
			if _, err := s.SessionUser(t.Context(), hash); call.CodeOf(err) != call.NotFound {
				t.Errorf("%s: the session goes on: %v", name, err)
			}
		}
	})
}

// TestSessionsOfAUserAreBounded: with the twenty-first login the oldest session
// ends, and no other user's.
func TestSessionsOfAUserAreBounded(t *testing.T) {
	t.Parallel()
	forEachDatabase(t, func(t *testing.T, o store.Options) {
		s, db := open(t, o), raw(t, o)
		asha, ravi := call.User{Name: "asha", Role: call.Viewer}, call.User{Name: "ravi", Role: call.Viewer}
		for _, u := range []call.User{asha, ravi} {
			if err := s.AddUser(t.Context(), u); err != nil {
				t.Fatal(err)
			}
		}
		ctx := audit.By(t.Context(), audit.Actor{Kind: audit.KindUser, Name: "asha"})
		log := func(i byte, u call.User) {
			t.Helper()
			if err := s.AddSession(ctx, call.Session{Hash: [32]byte{i}, User: u, Lasts: time.Hour}); err != nil {
				t.Fatal(err)
			}
			// Each at another time: those of one millisecond have no order.
			if _, err := db.ExecContext(ctx, fmt.Sprintf("UPDATE sessions SET logged_in_at = %d WHERE logged_in_at > 1000", i)); err != nil {
				t.Fatal(err)
			}
		}
		log(99, ravi)
		for i := range byte(22) {
			log(i, asha)
		}
		for i, want := range map[byte]bool{0: false, 1: false, 2: true, 3: true, 21: true, 99: true} {
			if _, err := s.SessionUser(t.Context(), [32]byte{i}); (err == nil) != want {
				t.Errorf("session %d: %v", i, err)
			}
		}
		var ended []string
		for _, e := range must(s.AuditEntries(t.Context(), 0, 100))(t) {
			if e.Action == audit.UserLoggedOut {
				ended = append(ended, e.Actor.Name+" "+e.Subject+" because "+e.Reason)
			}
		}
		const one = "asha user/asha because too many newer logins"
		if diff := cmp.Diff([]string{one, one}, ended); diff != "" {
			t.Error(diff)
		}
	})
}

// TestHasLoggedInFrom: a network counts for thirty days, for its user alone, and
// is then forgotten.
func TestHasLoggedInFrom(t *testing.T) {
	t.Parallel()
	forEachDatabase(t, func(t *testing.T, o store.Options) {
		s, other, db := open(t, o), open(t, o), raw(t, o)
		asha := call.User{Name: "asha", Role: call.Viewer}
		if err := s.AddUser(t.Context(), asha); err != nil {
			t.Fatal(err)
		}
		from := func(i byte, network string) {
			t.Helper()
			if err := s.AddSession(t.Context(), call.Session{Hash: [32]byte{i}, User: asha, Network: network, Lasts: time.Hour}); err != nil {
				t.Fatal(err)
			}
		}
		has := func(name, network string, want bool) {
			t.Helper()
			if got := must(other.HasLoggedInFrom(t.Context(), name, network))(t); got != want {
				t.Errorf("%s from %s: %v", name, network, got)
			}
		}
		age := func(days int) {
			t.Helper()
			if _, err := db.ExecContext(t.Context(), fmt.Sprintf("UPDATE login_networks SET logged_in_at = logged_in_at - %d", days*24*3600*1000)); err != nil {
				t.Fatal(err)
			}
		}
		from(1, "192.0.2.1/32")
		from(2, "192.0.2.1/32")
		from(3, "2001:db8::/64")
		if err := s.EndSession(t.Context(), [32]byte{1}); err != nil {
			t.Fatal(err)
		}
		has("asha", "192.0.2.1/32", true)
		has("asha", "2001:db8::/64", true)
		has("asha", "192.0.2.2/32", false)
		has("ravi", "192.0.2.1/32", false)
		age(20)
		from(4, "192.0.2.1/32")
		age(11)
		has("asha", "192.0.2.1/32", true)
		has("asha", "2001:db8::/64", false)
		must(s.ForgetSessions(t.Context()))(t)
		var left int
		if err := db.QueryRowContext(t.Context(), "SELECT count(*) FROM login_networks").Scan(&left); err != nil || left != 1 {
			t.Errorf("%d networks are left, %v", left, err)
		}
	})
}
