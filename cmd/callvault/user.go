package main

import (
	"bufio"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"

	"callvault/internal/call"
	"callvault/internal/console"
	"callvault/internal/store"
)

type userCommand struct {
	Add      userAdd      `cmd:"" help:"Add a person; a password is made and printed once."`
	List     userList     `cmd:"" help:"List the people."`
	Disable  userDisable  `cmd:"" help:"Shut a person out."`
	Password userPassword `cmd:"" help:"Give a person a new password."`
}

type userAdd struct {
	Name  string   `arg:"" help:"The name to log in with."`
	Role  string   `required:"" help:"viewer, manager, compliance or admin."`
	Group []string `sep:"none" help:"Limit what the person sees to this group; may be given several times."`
	Stdin bool     `help:"Read the password from standard input instead of making one."`
}

// Run adds a user.
func (c userAdd) Run(ctx context.Context, g *globals) error {
	role, err := parseRole(c.Role)
	if err != nil {
		return err
	}
	if err := checkName(c.Name); err != nil {
		return err
	}
	password, err := newPassword(g, c.Stdin)
	if err != nil {
		return err
	}
	return g.withStore(ctx, func(s *store.Store) error {
		u := call.User{Name: c.Name, Role: role, Groups: c.Group, PasswordHash: console.HashPassword(password)}
		if err := s.AddUser(ctx, u); err != nil {
			return err
		}
		return g.printPassword(c.Name, string(role), password, c.Stdin)
	})
}

// printPassword shows a password that was made, which is nowhere else.
func (g *globals) printPassword(name, role, password string, given bool) error {
	result := map[string]string{"name": name}
	if role != "" {
		result["role"] = role
	}
	if !given {
		result["password"] = password
	}
	return g.print(result, func(w io.Writer) {
		if given {
			fmt.Fprintf(w, "The password of %s is set.\n", name)
			return
		}
		fmt.Fprintf(w, "The password of %s is shown this once:\n%s\n", name, password)
	})
}

type userList struct{}

// Run lists the users.
func (userList) Run(ctx context.Context, g *globals) error {
	return g.withStore(ctx, func(s *store.Store) error {
		users, err := s.Users(ctx)
		if err != nil {
			return err
		}
		rows := make([]principal, len(users))
		for i, u := range users {
			rows[i] = principal{u.Name, u.Role, notNil(u.Groups), u.Disabled}
		}
		return g.printPrincipals("users", rows)
	})
}

// principal is a user or token as lists show it.
type principal struct {
	Name     string    `json:"name"`
	Role     call.Role `json:"role"`
	Groups   []string  `json:"groups"`
	Disabled bool      `json:"disabled"`
}

func (g *globals) printPrincipals(what string, rows []principal) error {
	return g.print(map[string]any{what: rows}, func(w io.Writer) {
		if len(rows) == 0 {
			fmt.Fprintf(w, "There are no %s.\n", what)
			return
		}
		t := tabwriter.NewWriter(w, 0, 4, 2, ' ', 0)
		fmt.Fprintln(t, "NAME\tROLE\tGROUPS\t")
		for _, r := range rows {
			disabled := ""
			if r.Disabled {
				disabled = "disabled"
			}
			fmt.Fprintf(t, "%s\t%s\t%s\t%s\n", r.Name, r.Role, strings.Join(r.Groups, ", "), disabled)
		}
		if err := t.Flush(); err != nil {
			fmt.Fprintln(g.stderr, "callvault:", err)
		}
	})
}

func notNil(list []string) []string {
	if list == nil {
		return []string{}
	}
	return list
}

type userDisable struct {
	Name string `arg:"" help:"The person to shut out."`
}

// Run disables a user.
func (c userDisable) Run(ctx context.Context, g *globals) error {
	return g.withStore(ctx, func(s *store.Store) error {
		if err := s.DisableUser(ctx, c.Name); err != nil {
			return err
		}
		return g.print(map[string]string{"disabled": c.Name}, func(w io.Writer) { fmt.Fprintf(w, "%s is shut out.\n", c.Name) })
	})
}

type userPassword struct {
	Name  string `arg:"" help:"Whose password."`
	Stdin bool   `help:"Read the password from standard input instead of making one."`
}

// Run sets a password.
func (c userPassword) Run(ctx context.Context, g *globals) error {
	password, err := newPassword(g, c.Stdin)
	if err != nil {
		return err
	}
	return g.withStore(ctx, func(s *store.Store) error {
		if err := s.SetPassword(ctx, c.Name, console.HashPassword(password)); err != nil {
			return err
		}
		return g.printPassword(c.Name, "", password, c.Stdin)
	})
}

// minPassword is the shortest password that is taken (NIST SP 800-63B-4 asks
// for 15 characters where a password stands alone).
const minPassword = 15

// newPassword makes a password, or reads a line of standard input.
func newPassword(g *globals, fromStdin bool) (string, error) {
	if !fromStdin {
		return strings.ToLower(rand.Text()), nil
	}
	line, err := bufio.NewReader(io.LimitReader(g.stdin, 4096)).ReadString('\n')
	if err != nil && !errors.Is(err, io.EOF) {
		return "", fmt.Errorf("read the password: %w", err)
	}
	password := strings.TrimRight(line, "\r\n")
	if len([]rune(password)) < minPassword {
		return "", fmt.Errorf("the password is shorter than %d characters", minPassword)
	}
	return password, nil
}

// checkName takes what can be typed and printed.
func checkName(name string) error {
	if name == "" || len(name) > 100 || strings.TrimSpace(name) != name || strings.ContainsFunc(name, func(r rune) bool { return r < ' ' || r == 0x7f }) {
		return usagef("a name has 1 to 100 printable characters and no spaces around it")
	}
	return nil
}
