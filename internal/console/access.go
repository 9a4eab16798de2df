package console

import (
	"context"
	"crypto/sha256"
	"math"
	"net/http"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"callvault/internal/call"

	"golang.org/x/time/rate"
)

// authenticate finds the token that the request shows. What is wrong with one
// that is not accepted is not said: a stranger learns nothing, and the owner
// makes a new one.
func (c *Console) authenticate(w http.ResponseWriter, r *http.Request) (call.Token, error) {
	address := strikeKey(r.RemoteAddr)
	if wait := c.strikes.wait(address, c.now()); wait > 0 {
		w.Header().Set("Retry-After", strconv.Itoa(int(math.Ceil(wait.Seconds()))))
		c.strangers.Count(c.now(), "api_limited")
		return call.Token{}, call.Errorf(call.Limited, "too many wrong tokens from this address; try again later")
	}
	token, err := c.shownToken(r)
	if call.CodeOf(err) == call.Unauthorized {
		c.strikes.count(address, c.now())
		c.strangers.Count(c.now(), "api_unauthorized")
		w.Header().Set("WWW-Authenticate", `Bearer realm="callvault"`)
	}
	return token, err
}

func (c *Console) shownToken(r *http.Request) (call.Token, error) {
	unauthorized := call.Errorf(call.Unauthorized,
		"a valid token is needed, as Authorization: Bearer TOKEN; callvault token add makes one")
	scheme, shown, _ := strings.Cut(r.Header.Get("Authorization"), " ")
	shown = strings.TrimSpace(shown)
	if !strings.EqualFold(scheme, "Bearer") || shown == "" {
		return call.Token{}, unauthorized
	}
	ctx, cancel := context.WithTimeout(r.Context(), questionLimit)
	defer cancel()
	token, err := c.store.TokenByHash(ctx, sha256.Sum256([]byte(shown)))
	switch {
	case call.CodeOf(err) == call.NotFound:
		return call.Token{}, unauthorized
	case err != nil:
		return call.Token{}, err
	case token.Disabled || !slices.Contains(call.Roles(), token.Role):
		return call.Token{}, unauthorized
	}
	return token, nil
}

// maySee reports whether a token limited to groups may see what is of this
// group. What is of no group it may not.
func maySee(who call.Token, group string) bool {
	return len(who.Groups) == 0 || slices.Contains(who.Groups, group)
}

// needAllGroups refuses a token, or a user, that is limited to groups.
func needAllGroups(who call.Token, what string) error {
	if len(who.Groups) == 0 {
		return nil
	}
	return call.Errorf(call.Forbidden, "what may be seen here is limited to groups, and %s is about calls of all groups", what)
}

// The bounds on wrong tokens from one address: so many at once, and then one
// more in each span. A token cannot be guessed; this is to spare the database.
const (
	strikesAtOnce = 30
	strikeEvery   = 2 * time.Second
	// strikeKeys bounds how many addresses, or names, are remembered; beyond it,
	// all newcomers share one allowance.
	strikeKeys = 10_000
)

// strikes remembers from where, or for whom, something wrong was shown.
type strikes[K comparable] struct {
	atOnce int
	every  time.Duration

	mu       sync.Mutex
	by       map[K]*rate.Limiter
	newcomer *rate.Limiter
}

func newStrikes[K comparable](atOnce int, every time.Duration) *strikes[K] {
	s := &strikes[K]{atOnce: atOnce, every: every, by: make(map[K]*rate.Limiter)}
	s.newcomer = s.limiter()
	return s
}

func (s *strikes[K]) limiter() *rate.Limiter { return rate.NewLimiter(rate.Every(s.every), s.atOnce) }

// wait is how long the key must wait before it may try again; 0: not.
func (s *strikes[K]) wait(key K, now time.Time) time.Duration {
	s.mu.Lock()
	defer s.mu.Unlock()
	l, ok := s.by[key]
	if !ok {
		if len(s.by) < strikeKeys {
			return 0
		}
		l = s.newcomer
	}
	left := l.TokensAt(now)
	if left >= 1 {
		return 0
	}
	return time.Duration((1 - left) * float64(s.every))
}

// count counts one wrong try.
func (s *strikes[K]) count(key K, now time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, ok := s.by[key]; !ok && len(s.by) >= strikeKeys {
		s.forget(now)
	}
	l, ok := s.by[key]
	if !ok {
		l = s.newcomer
		if len(s.by) < strikeKeys {
			l = s.limiter()
			s.by[key] = l
		}
	}
	l.AllowN(now, 1)
}

// forget drops the keys that have their whole allowance again.
func (s *strikes[K]) forget(now time.Time) {
	for key, l := range s.by {
		if l.TokensAt(now) >= float64(s.atOnce) {
			delete(s.by, key)
		}
	}
}

// strikeKey is the network that one stranger commands: one IPv4 address, or
// an IPv6 /64.
func strikeKey(remoteAddr string) netip.Prefix {
	var address netip.Addr
	if ap, err := netip.ParseAddrPort(remoteAddr); err == nil {
		address = ap.Addr()
	} else if a, err := netip.ParseAddr(remoteAddr); err == nil {
		address = a
	} else {
		return netip.Prefix{} // unknown addresses share one allowance
	}
	address = address.Unmap().WithZone("")
	bits := 32
	if address.Is6() {
		bits = 64
	}
	return netip.PrefixFrom(address, bits).Masked()
}
