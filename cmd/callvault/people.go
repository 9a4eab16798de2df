package main

import (
	"context"
	"log/slog"
	"sync/atomic"
	"time"

	"callvault/internal/call"
	"callvault/internal/config"
	"callvault/internal/store"
	"callvault/webhook"
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

const (
	// membersEvery is how often a provider's list of members is read,
	// membersAgain how soon again when that failed.
	membersEvery = 24 * time.Hour
	membersAgain = time.Hour
	// membersAtStart keeps nodes that start together, or again and again, from
	// asking each time.
	membersAtStart = time.Minute
	// lookForMembers is how often a node looks what the others have read.
	lookForMembers = 10 * time.Minute
	// membersTime bounds reading the whole of a list.
	membersTime = 5 * time.Minute
)

// load takes the names that the providers' lists have, as they were last read.
func (p *people) load(ctx context.Context) error {
	members, err := p.Members(ctx)
	if err != nil {
		return err
	}
	p.roster.Store(call.NewRoster(p.configured, members))
	return nil
}

// memberLists are the lists of the accounts whose API may be asked.
func memberLists(c *config.Config) (map[string]*webhook.MemberList, error) {
	lists := map[string]*webhook.MemberList{}
	for _, a := range c.Accounts {
		if a.Provider != config.CallerDesk || a.AuthCode == "" {
			continue
		}
		list, err := webhook.NewMemberList(webhook.ListAccount{
			Name: a.Name, APIURL: a.APIURL, AuthCode: a.AuthCode.Reveal(), AllowPrivateNetworks: a.AllowPrivateNetworks,
		}, a.Region)
		if err != nil {
			return nil, err
		}
		lists[a.Name] = list
	}
	return lists, nil
}

// run reads the providers' lists of members at once and then daily, and takes
// what other nodes have read, until ctx ends. A list that cannot be read leaves
// the old one as it is.
func (p *people) run(ctx context.Context, lists map[string]*webhook.MemberList, logger *slog.Logger) {
	tick := time.NewTicker(lookForMembers)
	defer tick.Stop()
	type turn struct {
		at time.Time
		// after is for how long nobody must have asked by then.
		after time.Duration
	}
	turns := map[string]turn{}
	for account := range lists {
		turns[account] = turn{time.Now(), membersAtStart}
	}
	for {
		for account, list := range lists {
			if time.Now().Before(turns[account].at) {
				continue
			}
			n, err := p.read(ctx, account, list, turns[account].after)
			turns[account] = turn{time.Now().Add(membersEvery), membersEvery / 2}
			switch {
			case ctx.Err() != nil:
				return
			case err != nil:
				turns[account] = turn{time.Now().Add(membersAgain), membersAgain / 2}
				logger.WarnContext(ctx, "the list of members could not be read; the names of before stay", "account", account, "error", err)
			case n >= 0:
				logger.InfoContext(ctx, "list of members read", "account", account, "members", n)
			}
		}
		if err := p.load(ctx); err != nil && ctx.Err() == nil {
			logger.WarnContext(ctx, "the names of members could not be loaded", "error", err)
		}
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

// read reads one list unless another node just did; n is how many members it
// has, -1 if it was not read.
func (p *people) read(ctx context.Context, account string, list *webhook.MemberList, after time.Duration) (n int, err error) {
	ctx, cancel := context.WithTimeout(ctx, membersTime)
	defer cancel()
	mine, err := p.ClaimMemberList(ctx, account, after)
	if err != nil || !mine {
		return -1, err
	}
	members, err := list.Read(ctx)
	if err != nil || len(members) == 0 { // nobody is no reason to forget all
		return 0, err
	}
	return len(members), p.SetMembers(ctx, account, members)
}

// PlaceHold is store.Store.PlaceHold, for filters that ask for people.
func (p *people) PlaceHold(ctx context.Context, h call.Hold) (call.Hold, error) {
	if h.Filter != nil {
		expanded := p.expand(*h.Filter)
		h.Expanded = &expanded
	}
	return p.Store.PlaceHold(ctx, h)
}

// expand says whom a filter means by now.
func (p *people) expand(f call.Filter) call.Filter { return p.roster.Load().Expand(f) }
