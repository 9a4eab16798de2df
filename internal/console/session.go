package console

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"net/http"
	"net/url"
	"time"

	"callvault/internal/audit"
	"callvault/internal/call"
)

// AccessStore is what is asked of the database about those who show a token or
// log in.
type AccessStore interface {
	TokenByHash(ctx context.Context, hash [32]byte) (call.Token, error)
	User(ctx context.Context, name string) (call.User, error)
	HasLoggedInFrom(ctx context.Context, name, network string) (bool, error)
	AddSession(ctx context.Context, s call.Session) error
	SessionUser(ctx context.Context, hash [32]byte) (call.User, error)
	EndSession(ctx context.Context, hash [32]byte) error
}

const (
	sessionCookie = "callvault_session"
	// tlsPrefix keeps other hosts of the same domain, and whoever can answer for
	// this one without TLS, from setting the cookie (RFC 6265bis, 4.1.3.2).
	tlsPrefix = "__Host-"
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

// logout ends the session, if there is one, and forgets it in the browser.
func (c *Console) logout(w http.ResponseWriter, r *http.Request) error {
	if r.Method != http.MethodPost {
		w.Header().Set("Allow", http.MethodPost)
		return errMethod
	}
	if err := c.fromHere(r); err != nil {
		return err
	}
	c.setSession(w, r, "", -1) // whatever becomes of it
	if err := c.endSession(r); err != nil && call.CodeOf(err) != call.Unauthorized {
		return err
	}
	http.Redirect(w, r, loginPath, http.StatusSeeOther)
	return nil
}

func (c *Console) endSession(r *http.Request) error {
	hash, who, err := c.session(r)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(audit.By(r.Context(), actorOf(r, audit.KindUser, who.Name)), questionLimit)
	defer cancel()
	return c.store.EndSession(ctx, hash)
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
		Name: c.cookieName(r), Value: token, Path: "/", MaxAge: maxAge,
		HttpOnly: true, SameSite: http.SameSiteLaxMode, Secure: c.byTLS(r),
	})
}

// byTLS reports whether browsers come by TLS.
func (c *Console) byTLS(r *http.Request) bool { return c.secure || r.TLS != nil }

// cookieName is that of the session's cookie. Browsers take the prefix with TLS
// alone.
func (c *Console) cookieName(r *http.Request) string {
	if c.byTLS(r) {
		return tlsPrefix + sessionCookie
	}
	return sessionCookie
}

var errNoSession = call.Errorf(call.Unauthorized, "nobody is logged in")

func (c *Console) sessionHash(r *http.Request) ([32]byte, error) {
	cookie, err := r.Cookie(c.cookieName(r))
	if err != nil {
		return [32]byte{}, errNoSession
	}
	token, err := base64.RawURLEncoding.Strict().DecodeString(cookie.Value)
	if err != nil || len(token) != sessionBytes {
		return [32]byte{}, errNoSession
	}
	return sha256.Sum256(token), nil
}

// session finds the session's hash and who is logged in, in the form of a token:
// what users may see, and why not, is decided as for tokens. An Unauthorized
// error says that nobody is. However many that are none come, nobody is kept out
// for them: 256 random bits are not guessed, and an office has one address.
func (c *Console) session(r *http.Request) (hash [32]byte, who call.Token, err error) {
	if hash, err = c.sessionHash(r); err != nil {
		return hash, who, err
	}
	ctx, cancel := context.WithTimeout(r.Context(), questionLimit)
	defer cancel()
	u, err := c.store.SessionUser(ctx, hash)
	if call.CodeOf(err) == call.NotFound || err == nil && !mayLogIn(u) {
		c.strangers.Count(c.now(), "session_over")
		return hash, who, errNoSession
	}
	return hash, call.Token{Name: u.Name, Role: u.Role, Groups: u.Groups}, err
}

// withSession wraps a page that only users see. Who is not logged in may do so,
// and comes back.
func (c *Console) withSession(h endpoint) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		err := readOnly(w, r)
		var who call.Token
		if err == nil {
			_, who, err = c.session(r)
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
