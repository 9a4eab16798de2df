package console

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"math"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"callvault/internal/audit"
	"callvault/internal/call"
)

const (
	// maxForm and maxUserName bound, in bytes, what a login may be.
	maxForm     = 16 << 10
	maxUserName = 100
	// maxNext bounds, in bytes, the address to go on to.
	maxNext = 2000
	// loginsAtOnce is how many passwords are compared at a time: each takes a
	// core and 7 MiB for a while.
	loginsAtOnce = 2
)

// The bounds on wrong passwords: so many at once, and then one more in each
// span. Those from one network leave room for an office behind it, those for one
// user at one network for somebody who tries all that he remembers, and those
// for one user from everywhere are as many as NIST SP 800-63B-4 (3.2.2) allows.
const (
	networkStrikesAtOnce = 30
	networkStrikeEvery   = 10 * time.Second
	nameStrikesAtOnce    = 10
	nameStrikeEvery      = time.Minute
	spreadStrikesAtOnce  = 100
	spreadStrikeEvery    = time.Minute
)

// attempt is whose name was given where.
type attempt struct {
	name    string
	network netip.Prefix
	// home: this user has logged in there before.
	home bool
}

// logins is what keeps passwords from being guessed. Each node counts for
// itself.
//
// Whoever knows a name must not be able to keep its owner out. So where he has
// logged in before only what is tried there, for his name, counts.
type logins struct {
	homes    *strikes[attempt]
	networks *strikes[netip.Prefix]
	names    *strikes[attempt]
	spread   *strikes[string]
	// slots bounds how many passwords are compared at a time.
	slots chan struct{}
	// nobody gives the hash that the password of an unknown user is compared with,
	// so that it takes as long.
	nobody func() string
}

func newLogins() *logins {
	return &logins{
		homes:    newStrikes[attempt](nameStrikesAtOnce, nameStrikeEvery),
		networks: newStrikes[netip.Prefix](networkStrikesAtOnce, networkStrikeEvery),
		names:    newStrikes[attempt](nameStrikesAtOnce, nameStrikeEvery),
		spread:   newStrikes[string](spreadStrikesAtOnce, spreadStrikeEvery),
		slots:    make(chan struct{}, loginsAtOnce),
		nobody:   sync.OnceValue(func() string { return HashPassword(rand.Text()) }),
	}
}

// wait is how long one must wait before the next attempt; 0: not.
func (l *logins) wait(a attempt, now time.Time) time.Duration {
	if a.home {
		return l.homes.wait(a, now)
	}
	return max(l.networks.wait(a.network, now), l.names.wait(a, now), l.spread.wait(a.name, now))
}

// count counts one that was wrong.
func (l *logins) count(a attempt, now time.Time) {
	if a.home {
		l.homes.count(a, now)
		return
	}
	l.networks.count(a.network, now)
	l.names.count(a, now)
	l.spread.count(a.name, now)
}

// errWrongLogin is the same whatever was wrong.
var errWrongLogin = call.Errorf(call.Forbidden, "the name or the password is wrong")

// loginPage is the form to log in.
type loginPage struct {
	// Next is where one goes on to.
	Next string
	// Fault says why it was not accepted, empty at first.
	Fault string
	Name  string
}

func (c *Console) login(w http.ResponseWriter, r *http.Request) error {
	switch r.Method {
	case http.MethodGet, http.MethodHead:
		next := localPath(r.URL.Query().Get("next"))
		if _, _, err := c.session(r); err == nil {
			http.Redirect(w, r, next, http.StatusSeeOther) //nolint:gosec // localPath leads to this server alone
			return nil
		}
		return writePage(w, http.StatusOK, loginTemplate, page{Title: "Log in", Body: loginPage{Next: next}})
	case http.MethodPost:
		return c.takeLogin(w, r)
	}
	w.Header().Set("Allow", "GET, HEAD, POST")
	return errMethod
}

func (c *Console) takeLogin(w http.ResponseWriter, r *http.Request) error {
	if err := c.fromHere(r); err != nil {
		return err
	}
	r.Body = http.MaxBytesReader(w, r.Body, maxForm)
	if err := r.ParseForm(); err != nil {
		if _, ok := errors.AsType[*http.MaxBytesError](err); ok {
			return call.Errorf(call.TooLarge, "this is more than a name and a password")
		}
		return call.Errorf(call.Invalid, "the form cannot be read")
	}
	next, name := localPath(r.PostForm.Get("next")), strings.TrimSpace(r.PostForm.Get("name"))
	if c.losesLogin(r) {
		return call.Errorf(call.Invalid, "a login is kept by https alone here; open %s instead", c.publicURL)
	}
	u, err := c.prove(w, r, name, r.PostForm.Get("password"))
	switch code := call.CodeOf(err); {
	case err == nil:
	case code == call.Forbidden || code == call.Limited:
		again := loginPage{Next: next, Fault: sentence(publicMessage(err)), Name: name}
		return writePage(w, code.HTTPStatus(), loginTemplate, page{Title: "Log in", Body: again})
	default:
		return err
	}
	token := make([]byte, sessionBytes)
	rand.Read(token)
	ctx, cancel := context.WithTimeout(audit.By(r.Context(), actorOf(r, audit.KindUser, u.Name)), questionLimit)
	defer cancel()
	in := call.Session{Hash: sha256.Sum256(token), User: u, Network: strikeKey(r.RemoteAddr).String(), Lasts: sessionLasts}
	if err := c.store.AddSession(ctx, in); err != nil {
		return err
	}
	if !c.byTLS(r) && r.Header.Get("X-Forwarded-Proto") == "https" {
		c.warnOfProxy.Do(func() {
			c.logger.WarnContext(ctx, "people come by https, it seems, through a proxy of which the configuration does not tell: "+
				"set public_url to the https address, so that browsers never send a login without TLS")
		})
	}
	c.setSession(w, r, base64.RawURLEncoding.EncodeToString(token), int(sessionLasts/time.Second))
	if strings.HasPrefix(next, firstPath+"/") {
		// A file is kept and not shown: the form would stay there as if nothing had
		// come of it.
		w.Header().Set("Refresh", "0; url="+next)
		return writePage(w, http.StatusOK, fileTemplate, page{Title: "Logged in", User: u.Name, Body: next})
	}
	http.Redirect(w, r, next, http.StatusSeeOther) //nolint:gosec // localPath leads to this server alone
	return nil
}

// losesLogin reports whether the browser will not keep a login, since it goes by
// TLS alone and the browser came without. Most take this machine's own address
// for as safe.
func (c *Console) losesLogin(r *http.Request) bool {
	from, err := url.Parse(r.Header.Get("Origin"))
	if err != nil || !c.secure || r.TLS != nil || from.Scheme != "http" {
		return false
	}
	ip, err := netip.ParseAddr(from.Hostname())
	return from.Hostname() != "localhost" && (err != nil || !ip.IsLoopback())
}

// prove returns the user of this name and password. Whether there is such a user
// neither the answer tells nor how long it takes, but to somebody at an address
// where the user has logged in: there he need not wait for what others tried.
func (c *Console) prove(w http.ResponseWriter, r *http.Request, name, password string) (call.User, error) {
	if len(name) > maxUserName || !printable(name) {
		name = "" // nobody is called so, and the log and the database need not know
	}
	select {
	case c.logins.slots <- struct{}{}:
		defer func() { <-c.logins.slots }()
	case <-r.Context().Done():
		return call.User{}, r.Context().Err()
	}
	ctx, cancel := context.WithTimeout(r.Context(), questionLimit)
	defer cancel()
	now, try := c.now(), attempt{name: name, network: strikeKey(r.RemoteAddr)}
	var err error
	if try.home, err = c.store.HasLoggedInFrom(ctx, name, try.network.String()); err != nil {
		return call.User{}, err
	}
	if wait := c.logins.wait(try, now); wait > 0 {
		seconds := int(math.Ceil(wait.Seconds()))
		w.Header().Set("Retry-After", strconv.Itoa(seconds))
		c.strangers.Count(now, "login_limited")
		return call.User{}, call.Errorf(call.Limited, "there were too many wrong passwords; try again in %d s", seconds)
	}
	hash := c.logins.nobody()
	u, err := c.store.User(ctx, name)
	known := err == nil
	if known {
		hash = u.PasswordHash
	} else if call.CodeOf(err) != call.NotFound {
		return call.User{}, err
	}
	matches := PasswordMatches(hash, password)
	if matches && mayLogIn(u) {
		return u, nil
	}
	c.logins.count(try, now)
	if !known {
		c.strangers.Count(now, "login_refused")
		return call.User{}, errWrongLogin
	}
	why := "wrong password"
	if matches {
		why = "the user is disabled"
	}
	// It waits for the log as searches do: a commit now would tell that there is
	// such a user.
	err = c.looks.put(r.Context(), audit.Entry{
		At: now, Action: audit.UserLoginRefused, Actor: actorOf(r, audit.KindStranger, ""), Subject: "user/" + u.Name, Reason: why,
	}, false)
	if err != nil {
		return call.User{}, err
	}
	return call.User{}, errWrongLogin
}

func mayLogIn(u call.User) bool {
	return u.Name != "" && !u.Disabled && slices.Contains(call.Roles(), u.Role)
}

// localPath is where a login leads: next, if that is an address on this server
// as nothing but a browser's reading of it can be, else the first page.
func localPath(next string) string {
	u, err := url.Parse(next)
	switch {
	case err != nil, len(next) > maxNext, !printable(next), strings.Contains(next, `\`),
		!strings.HasPrefix(next, "/"), strings.HasPrefix(next, "//"),
		u.IsAbs(), u.Host != "", u.User != nil, u.Path == loginPath, u.Path == logoutPath, u.Path == "/":
		return firstPath
	}
	return next
}
