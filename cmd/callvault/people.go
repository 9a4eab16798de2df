package main

import (
	"context"
	"sync/atomic"
	"time"

	"callvault/internal/call"
	"callvault/internal/config"
	"callvault/internal/store"
)

// people is the store as those see it who tell people of calls: filters find
// who is asked for by whatever reports call them, and agents come with their
// names. What is written, and the evidence of what was reported, goes past it.
type people struct {
	*store.Store
	configured []call.Person
	providers  map[string]call.Provider
	roster     atomic.Pointer[call.Roster]
}

// newPeople makes people of those who are configured; load adds the rest.
func newPeople(c *config.Config, s *store.Store) *people {
	p := &people{Store: s, configured: persons(c), providers: make(map[string]call.Provider, len(c.Accounts))}
	for _, a := range c.Accounts {
		p.providers[a.Name] = call.Provider(a.Provider)
	}
	p.roster.Store(call.NewRoster(p.configured, nil))
	return p
}

func persons(c *config.Config) []call.Person {
	list := make([]call.Person, len(c.Agents))
	for i, a := range c.Agents {
		list[i] = call.Person{Name: a.Name, Group: a.Group, TeleCMI: a.TeleCMI, Numbers: a.Numbers, Names: a.Names}
	}
	return list
}

// FindCalls is store.Store.FindCalls, with names.
func (p *people) FindCalls(ctx context.Context, f call.Filter) ([]call.CallWithRecordings, string, error) {
	r := p.roster.Load()
	found, next, err := p.Store.FindCalls(ctx, r.Expand(f))
	for i := range found {
		r.Name(&found[i].Call)
	}
	return found, next, err
}

// EachCall is store.Store.EachCall, with names.
func (p *people) EachCall(ctx context.Context, f call.Filter, do func(call.CallWithRecordings) error) error {
	r := p.roster.Load()
	return p.Store.EachCall(ctx, r.Expand(f), func(c call.CallWithRecordings) error {
		r.Name(&c.Call)
		return do(c)
	})
}

// Call is store.Store.Call, with names; legs stay as they were reported.
func (p *people) Call(ctx context.Context, id string) (call.CallDetail, error) {
	found, err := p.Store.Call(ctx, id)
	p.roster.Load().Name(&found.Call)
	return found, err
}

// LiveCalls is store.Store.LiveCalls, with names.
func (p *people) LiveCalls(ctx context.Context, maxAge time.Duration) ([]call.LiveCall, error) {
	r := p.roster.Load()
	found, err := p.Store.LiveCalls(ctx, maxAge)
	for i := range found {
		r.NameLive(&found[i], p.providers[found[i].Account])
	}
	return found, err
}

// CountCalls is store.Store.CountCalls, for filters that ask for people.
func (p *people) CountCalls(ctx context.Context, f call.Filter) (int64, error) {
	return p.Store.CountCalls(ctx, p.roster.Load().Expand(f))
}

// CustomerStats is store.Store.CustomerStats, for filters that ask for people.
func (p *people) CustomerStats(ctx context.Context, f call.Filter) (call.CustomerStats, error) {
	return p.Store.CustomerStats(ctx, p.roster.Load().Expand(f))
}

// NotReturned is store.Store.NotReturned, for filters that ask for people.
func (p *people) NotReturned(ctx context.Context, f call.Filter, asOf time.Time, do func(call.Missing) error) error {
	return p.Store.NotReturned(ctx, p.roster.Load().Expand(f), asOf, do)
}
