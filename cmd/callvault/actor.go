package main

import (
	"bufio"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"os"
	"os/user"
	"slices"
	"strings"

	"callvault/internal/audit"
	"callvault/internal/call"
	"callvault/internal/console"
	"callvault/internal/store"

	"golang.org/x/term"
)

// actorFlags say who gives a command that is written down under a name.
type actorFlags struct {
	As string `help:"Who you are: a user with the role compliance or admin. The password is read from standard input. Without it a token in CALLVAULT_TOKEN says so, else the user of this machine." placeholder:"USER"`
}

// tokenVariable is the environment's variable with a bearer token.
const tokenVariable = "CALLVAULT_TOKEN"

// by returns ctx with who acts. proven: it must be somebody who is known to
// Callvault, and has shown it. Who may not is told so, and it is logged.
func (f actorFlags) by(ctx context.Context, g *globals, s *store.Store, proven bool) (context.Context, error) {
	actor := commandActor()
	var err error
	token := environ(g.environ(), tokenVariable)
	switch {
	case f.As != "":
		actor, err = f.user(ctx, g, s)
	case token != "":
		actor, err = tokenActor(ctx, s, token)
	case proven:
		return ctx, usagef("this takes two people who have shown who they are: give --as USER, or a token in %s", tokenVariable)
	}
	ctx = audit.By(ctx, actor)
	return ctx, g.refused(ctx, s, err)
}

// refused logs that a command was forbidden whoever gave it, and returns the
// error.
func (g *globals) refused(ctx context.Context, s *store.Store, err error) error {
	if err == nil || call.CodeOf(err) != call.Forbidden {
		return err
	}
	return errors.Join(err, noteAct(ctx, s, audit.AccessRefused, "", map[string]string{"command": g.command, "message": err.Error()}))
}

// commandActor is whoever gives a command and says no more.
func commandActor() audit.Actor { return audit.Actor{Kind: audit.KindCommand, Name: systemUser()} }

// systemUser is who the operating system says gives the command.
func systemUser() string {
	if u, err := user.Current(); err == nil && u.Username != "" {
		return u.Username
	}
	return fmt.Sprintf("uid %d", os.Getuid())
}

// environ is the value of a variable, empty if there is none.
func environ(list []string, name string) string {
	i := slices.IndexFunc(list, func(v string) bool { return strings.HasPrefix(v, name+"=") })
	if i < 0 {
		return ""
	}
	return strings.TrimPrefix(list[i], name+"=")
}

func tokenActor(ctx context.Context, s *store.Store, token string) (audit.Actor, error) {
	t, err := s.TokenByHash(ctx, sha256.Sum256([]byte(token)))
	if call.CodeOf(err) == call.NotFound {
		return commandActor(), call.Errorf(call.Forbidden, "the token in %s is not one of Callvault's", tokenVariable)
	}
	if err != nil {
		return audit.Actor{}, err
	}
	return audit.Actor{Kind: audit.KindToken, Name: t.Name}, mayKeep("token "+t.Name, t.Role, t.Groups)
}

func (f actorFlags) user(ctx context.Context, g *globals, s *store.Store) (audit.Actor, error) {
	password, err := g.readPassword("Password of " + f.As + ": ")
	if err != nil {
		return audit.Actor{}, err
	}
	u, err := s.User(ctx, f.As)
	if err != nil && call.CodeOf(err) != call.NotFound {
		return audit.Actor{}, err
	}
	if err != nil || u.Disabled || !console.PasswordMatches(u.PasswordHash, password) {
		return commandActor(), call.Errorf(call.Forbidden, "user name or password are wrong")
	}
	return audit.Actor{Kind: audit.KindUser, Name: u.Name}, mayKeep("user "+u.Name, u.Role, u.Groups)
}

// mayKeep refuses whom holds and erasures are none of the business of.
func mayKeep(who string, role call.Role, groups []string) error {
	if role != call.Compliance && role != call.Admin {
		return call.Errorf(call.Forbidden, "%s has the role %s; this needs compliance or admin", who, role)
	}
	if len(groups) > 0 {
		return call.Errorf(call.Forbidden, "%s is limited to groups; this is about calls of all groups", who)
	}
	return nil
}

// readPassword asks on a terminal, unseen, or reads a line of standard input.
func (g *globals) readPassword(prompt string) (string, error) {
	if f, ok := g.stdin.(*os.File); ok && term.IsTerminal(int(f.Fd())) {
		fmt.Fprint(g.stderr, prompt)
		password, err := term.ReadPassword(int(f.Fd()))
		fmt.Fprintln(g.stderr)
		if err != nil {
			return "", fmt.Errorf("read the password: %w", err)
		}
		return string(password), nil
	}
	line, err := bufio.NewReader(io.LimitReader(g.stdin, 4096)).ReadString('\n')
	if err != nil && !errors.Is(err, io.EOF) {
		return "", fmt.Errorf("read the password: %w", err)
	}
	return strings.TrimRight(line, "\r\n"), nil
}
