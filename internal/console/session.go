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

// AccessStore is what is asked of the database about those who show a token or
// log in.
type AccessStore interface {
	TokenByHash(ctx context.Context, hash [32]byte) (call.Token, error)
	User(ctx context.Context, name string) (call.User, error)
	AddSession(ctx context.Context, hash [32]byte, u call.User, lasts time.Duration) error
	SessionUser(ctx context.Context, hash [32]byte) (call.User, error)
	EndSession(ctx context.Context, hash [32]byte) error
}

const (
	sessionCookie = "callvault_session"
	// sessionLasts is how long a login lasts, used or not: a day's work.
	sessionLasts = 12 * time.Hour
	// sessionBytes is the length of a session's token.
	sessionBytes = 32
)

// Where one logs in and out, and comes to when one wanted nothing else.
const (
	loginPath  = "/login"
	logoutPath = "/logout"
	firstPath  = "/reports"
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
// span. Those from one address leave room for an office behind it, those for one
// user for somebody who tries all that he remembers.
const (
	loginStrikesAtOnce = 30
	loginStrikeEvery   = 10 * time.Second
	nameStrikesAtOnce  = 10
	nameStrikeEvery    = time.Minute
)

// logins is what keeps passwords from being guessed. Each node counts for
// itself.
type logins struct {
	from *strikes[netip.Prefix]
	to   *strikes[string]
	// slots bounds how many passwords are compared at a time.
	slots chan struct{}
	// nobody gives the hash that the password of an unknown user is compared with,
	// so that it takes as long.
	nobody func() string
}

func newLogins() *logins {
	return &logins{
		from:   newStrikes[netip.Prefix](loginStrikesAtOnce, loginStrikeEvery),
		to:     newStrikes[string](nameStrikesAtOnce, nameStrikeEvery),
		slots:  make(chan struct{}, loginsAtOnce),
		nobody: sync.OnceValue(func() string { return HashPassword(rand.Text()) }),
	}
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
		if _, err := c.session(w, r); err == nil {
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
	if err := c.store.AddSession(ctx, sha256.Sum256(token), u, sessionLasts); err != nil {
		return err
	}
	c.setSession(w, r, base64.RawURLEncoding.EncodeToString(token), int(sessionLasts/time.Second))
	http.Redirect(w, r, next, http.StatusSeeOther) //nolint:gosec // localPath leads to this server alone
	return nil
}

// prove returns the user of this name and password. Whether there is such a user
// neither the answer tells nor how long it takes.
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
	address, now := strikeKey(r.RemoteAddr), c.now()
	if wait := max(c.logins.from.wait(address, now), c.logins.to.wait(name, now)); wait > 0 {
		seconds := int(math.Ceil(wait.Seconds()))
		w.Header().Set("Retry-After", strconv.Itoa(seconds))
		c.strangers.Count(now, "login_limited")
		return call.User{}, call.Errorf(call.Limited, "there were too many wrong passwords; try again in %d s", seconds)
	}
	ctx, cancel := context.WithTimeout(r.Context(), questionLimit)
	defer cancel()
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
	c.logins.from.count(address, now)
	c.logins.to.count(name, now)
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

// logout ends the session, if there is one, and forgets it in the browser.
func (c *Console) logout(w http.ResponseWriter, r *http.Request) error {
	if r.Method != http.MethodPost {
		w.Header().Set("Allow", http.MethodPost)
		return errMethod
	}
	if err := c.fromHere(r); err != nil {
		return err
	}
	who, err := c.session(w, r)
	c.setSession(w, r, "", -1) // whatever becomes of it
	if err == nil {
		var hash [32]byte
		if hash, err = sessionHash(r); err == nil {
			ctx, cancel := context.WithTimeout(audit.By(r.Context(), actorOf(r, audit.KindUser, who.Name)), questionLimit)
			defer cancel()
			err = c.store.EndSession(ctx, hash)
		}
	}
	if err != nil && call.CodeOf(err) != call.Unauthorized {
		return err
	}
	http.Redirect(w, r, loginPath, http.StatusSeeOther)
	return nil
}

// fromHere refuses a form that another site has made the browser send.
func (c *Console) fromHere(r *http.Request) error {
	if c.crossOrigin.Check(r) == nil {
		return nil
	}
	c.strangers.Count(c.now(), "cross_origin")
	return call.Errorf(call.Forbidden, "this form was sent from another site; open the page here and try again")
}

// setSession gives the browser the session's token. No script sees it, no other
// site sends it along but by a link, and where the console is reached by TLS it
// never goes without.
func (c *Console) setSession(w http.ResponseWriter, r *http.Request, token string, maxAge int) {
	http.SetCookie(w, &http.Cookie{ //nolint:gosec // without TLS a login could not be kept at all
		Name: sessionCookie, Value: token, Path: "/", MaxAge: maxAge,
		HttpOnly: true, SameSite: http.SameSiteLaxMode, Secure: c.secure || r.TLS != nil,
	})
}

var errNoSession = call.Errorf(call.Unauthorized, "nobody is logged in")

func sessionHash(r *http.Request) ([32]byte, error) {
	cookie, err := r.Cookie(sessionCookie)
	if err != nil {
		return [32]byte{}, errNoSession
	}
	token, err := base64.RawURLEncoding.Strict().DecodeString(cookie.Value)
	if err != nil || len(token) != sessionBytes {
		return [32]byte{}, errNoSession
	}
	return sha256.Sum256(token), nil
}

// session finds who is logged in, in the form of a token: what users may see,
// and why not, is decided as for tokens. An Unauthorized error says that nobody
// is.
func (c *Console) session(w http.ResponseWriter, r *http.Request) (call.Token, error) {
	hash, err := sessionHash(r)
	if err != nil {
		return call.Token{}, err
	}
	address := strikeKey(r.RemoteAddr)
	if wait := c.sessionStrikes.wait(address, c.now()); wait > 0 {
		w.Header().Set("Retry-After", strconv.Itoa(int(math.Ceil(wait.Seconds()))))
		c.strangers.Count(c.now(), "session_limited")
		return call.Token{}, call.Errorf(call.Limited, "too many sessions that are none came from this address; try again later")
	}
	ctx, cancel := context.WithTimeout(r.Context(), questionLimit)
	defer cancel()
	u, err := c.store.SessionUser(ctx, hash)
	if call.CodeOf(err) == call.NotFound || err == nil && !mayLogIn(u) {
		c.sessionStrikes.count(address, c.now())
		c.strangers.Count(c.now(), "session_over")
		return call.Token{}, errNoSession
	}
	if err != nil {
		return call.Token{}, err
	}
	return call.Token{Name: u.Name, Role: u.Role, Groups: u.Groups}, nil
}

// withSession wraps a page that only users see. Who is not logged in may do so,
// and comes back.
func (c *Console) withSession(h endpoint) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		err := readOnly(w, r)
		var who call.Token
		if err == nil {
			who, err = c.session(w, r)
		}
		if call.CodeOf(err) == call.Unauthorized {
			w.Header().Set("Cache-Control", "no-store")
			http.Redirect(w, r, loginPath+"?next="+url.QueryEscape(localPath(r.URL.RequestURI())), http.StatusSeeOther)
			return
		}
		if err == nil {
			r, err = asked(r, actorOf(r, audit.KindUser, who.Name))
		}
		if err == nil {
			err = c.refused(r, h(w, r, who))
		}
		if err != nil {
			c.fail(w, r, err)
		}
	})
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

// actorOf is who acts by a request, as the audit log has it.
func actorOf(r *http.Request, kind, name string) audit.Actor {
	actor := audit.Actor{Kind: kind, Name: name}
	if address := parseAddress(r.RemoteAddr); address.IsValid() {
		actor.Address = address.String()
	}
	return actor
}

// protection tells forms of this site from those of others. publicURL is the
// site's address where a proxy gives the server another; empty: there is none.
func protection(publicURL string) (*http.CrossOriginProtection, error) {
	p := http.NewCrossOriginProtection()
	u, err := url.Parse(publicURL)
	if err == nil && u.Host != "" {
		err = p.AddTrustedOrigin(u.Scheme + "://" + u.Host)
	}
	return p, err
}
