package archive

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"strings"
	"sync/atomic"
	"time"

	"callvault/internal/call"
	"callvault/internal/safehttp"
)

// Account is what the archiver needs to know of an account to fetch its
// recordings.
type Account struct {
	Name     string
	Provider call.Provider
	// RecordingHosts are the hosts that recordings may come from, as in
	// safehttp.Options. TeleCMI's own host is always one of them.
	RecordingHosts []string
	// AllowPrivateNetworks permits loopback and private addresses, and http.
	AllowPrivateNetworks bool
	// APIURL is TeleCMI's API, such as https://rest.telecmi.com/v2.
	APIURL string
	// AppID and Secret are TeleCMI's credentials. Without them the account's
	// recordings wait.
	AppID  string
	Secret string
	// Credentials are those of a mapped provider.
	Credentials Credentials
}

// Credentials go with each request for a recording: to the host that the call
// report names, which must be one of the account's, and not where that
// redirects to. They are kept nowhere.
type Credentials struct {
	// User and Password are basic credentials (RFC 7617); none without User.
	User, Password string
	// Header and Query are added to those of the request.
	Header http.Header
	Query  url.Values
}

func (c *Credentials) isZero() bool { return c.User == "" && len(c.Header) == 0 && len(c.Query) == 0 }

// String keeps secrets out of logs.
func (Credentials) String() string { return "credentials" }

// GoString keeps secrets out of logs.
func (c Credentials) GoString() string { return c.String() }

// source is where the recordings of one account are fetched.
type source struct {
	account Account
	client  *safehttp.Client
	api     *url.URL // of TeleCMI
	// rejected is when the provider last rejected the credentials, in Unix
	// milliseconds.
	rejected atomic.Int64
}

// rejectedFor is how long recordings that are claimed already are not asked for
// after the provider has rejected the credentials: those are given back, and by
// then the account is paused.
const rejectedFor = time.Minute

// Why an account's recordings wait, for people.
const (
	pausedUntil         = "; its recordings wait until this is changed and Callvault is started again"
	pausedUnknown       = "the account is not in the configuration" + pausedUntil
	pausedNoCredentials = "app_id and secret of the account are not configured" + pausedUntil
	pausedRejected      = call.CredentialsRejected + ", app_id and secret" + pausedUntil
	pausedMapped        = call.CredentialsRejected + ", recording_user and recording_password, recording_headers or recording_query" + pausedUntil
)

// rejection says what to put right where the provider does not take the
// account's credentials.
func (s *source) rejection() string {
	if s.account.Provider == call.Mapped {
		return pausedMapped
	}
	return pausedRejected
}

// rejects tells whether an answer says that the account's credentials are
// wrong, and comes from the host that they were sent to.
func (s *source) rejects(resp *http.Response) bool {
	return !s.account.Credentials.isZero() && resp.StatusCode == http.StatusUnauthorized &&
		(resp.Request == nil || resp.Request.Response == nil)
}

func newSource(account Account, limits safehttp.Options) (*source, error) {
	s := &source{account: account}
	limits.Hosts = account.RecordingHosts
	limits.AllowPrivate = account.AllowPrivateNetworks
	limits.AllowHTTP = account.AllowPrivateNetworks
	if account.Provider == call.TeleCMI {
		api, err := url.Parse(account.APIURL)
		if err != nil || api.Host == "" {
			return nil, fmt.Errorf("account %s: api_url is not a usable URL", account.Name)
		}
		s.api = api
		limits.Hosts = append([]string{api.Host}, limits.Hosts...)
	}
	client, err := safehttp.New(limits)
	if err != nil {
		return nil, fmt.Errorf("account %s: %w", account.Name, err)
	}
	s.client = client
	return s, nil
}

// pause says why nothing of the account can be fetched now; empty when it can.
func (s *source) pause(now time.Time) string {
	switch {
	case s == nil:
		return pausedUnknown
	case s.api != nil && (s.account.AppID == "" || s.account.Secret == ""):
		return pausedNoCredentials
	case now.UnixMilli()-s.rejected.Load() < rejectedFor.Milliseconds():
		return s.rejection()
	}
	return ""
}

// ask asks for a recording. Its errors hold no more of the URL than the host.
func (s *source) ask(ctx context.Context, c call.Claim) (*http.Response, error) {
	at := c.Location
	if at == "" {
		at = c.Source
	}
	if s.api != nil {
		at = s.playURL(c.Source)
	}
	resp, err := s.get(ctx, at)
	if refused, ok := errors.AsType[*safehttp.RefusedError](err); ok {
		// TeleCMI's address is the operator's, and the same for all of its
		// recordings; CallerDesk's came with the call report.
		if s.api != nil {
			return nil, &accountError{"recordings of api_url cannot be fetched: " + refused.Error() + pausedUntil, refused}
		}
		return nil, &refusal{refused.Error(), refused}
	}
	return resp, err
}

// get asks for an address, with the account's credentials if it has any.
func (s *source) get(ctx context.Context, at string) (*http.Response, error) {
	c := &s.account.Credentials
	if c.isZero() {
		return s.client.Get(ctx, at)
	}
	u, err := url.Parse(at)
	if err != nil || strings.Contains(at, `\`) {
		return s.client.Get(ctx, at) // which refuses it, without repeating it
	}
	if len(c.Query) > 0 {
		if u.RawQuery != "" {
			u.RawQuery += "&"
		}
		u.RawQuery += c.Query.Encode()
	}
	req := (&http.Request{Method: http.MethodGet, URL: u, Header: http.Header{}}).WithContext(ctx)
	maps.Copy(req.Header, c.Header)
	if c.User != "" {
		req.SetBasicAuth(c.User, c.Password)
	}
	return s.client.Do(req)
}
