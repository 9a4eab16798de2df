package main

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"fmt"
	"io"
	"strings"

	"callvault/internal/call"
	"callvault/internal/store"
)

type tokenCommand struct {
	Add     tokenAdd     `cmd:"" help:"Make a token; it is printed once."`
	List    tokenList    `cmd:"" help:"List the tokens."`
	Disable tokenDisable `cmd:"" help:"Shut a token out."`
}

type tokenAdd struct {
	Name  string   `arg:"" help:"A name, to know the token by."`
	Role  string   `required:"" help:"viewer, manager, compliance or admin."`
	Group []string `sep:"none" help:"Limit what the token sees to this group; may be given several times."`
}

// Run makes a token.
func (c tokenAdd) Run(ctx context.Context, g *globals) error {
	role, err := parseRole(c.Role)
	if err != nil {
		return err
	}
	if err := checkName(c.Name); err != nil {
		return err
	}
	return g.withStore(ctx, func(s *store.Store) error {
		token, err := addToken(ctx, s, call.Token{Name: c.Name, Role: role, Groups: c.Group})
		if err != nil {
			return err
		}
		return g.print(map[string]string{"name": c.Name, "role": c.Role, "token": token}, func(w io.Writer) {
			fmt.Fprintf(w, "The token is shown this once:\n%s\n", token)
		})
	})
}

// addToken makes a token of 256 random bits and stores its hash.
func addToken(ctx context.Context, s *store.Store, t call.Token) (string, error) {
	token := "cv_" + strings.ToLower(rand.Text()+rand.Text())
	t.Hash = sha256.Sum256([]byte(token))
	return token, s.AddToken(ctx, t)
}

type tokenList struct{}

// Run lists the tokens.
func (tokenList) Run(ctx context.Context, g *globals) error {
	return g.withStore(ctx, func(s *store.Store) error {
		tokens, err := s.Tokens(ctx)
		if err != nil {
			return err
		}
		rows := make([]principal, len(tokens))
		for i, t := range tokens {
			rows[i] = principal{t.Name, t.Role, notNil(t.Groups), t.Disabled}
		}
		return g.printPrincipals("tokens", rows)
	})
}

type tokenDisable struct {
	Name string `arg:"" help:"The token to shut out."`
}

// Run disables a token.
func (c tokenDisable) Run(ctx context.Context, g *globals) error {
	return g.withStore(ctx, func(s *store.Store) error {
		if err := s.DisableToken(ctx, c.Name); err != nil {
			return err
		}
		return g.print(map[string]string{"disabled": c.Name}, func(w io.Writer) { fmt.Fprintf(w, "The token %s is shut out.\n", c.Name) })
	})
}
