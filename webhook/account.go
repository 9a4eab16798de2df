package webhook

import (
	"crypto/sha256"
	"crypto/subtle"
	"errors"
	"fmt"
	"net/netip"
	"time"

	"callvault/internal/call"
	"callvault/internal/mapping"
)

// Account is what receiving needs to know of a configured source.
type Account struct {
	// Name stands in the webhook's address.
	Name     string
	Provider call.Provider
	// Token is the secret in the webhook's address.
	Token string
	// OldToken is taken too, if it is set, while hooks move to a new token.
	OldToken string
	// Zone is that of times without a zone; nil is UTC.
	Zone *time.Location
	// Region (ISO 3166-1, such as IN) is that of phone numbers without a
	// country code; empty: only numbers with one become E.164.
	Region string
	// AllowFrom are the networks that may post; none: anywhere.
	AllowFrom []netip.Prefix
	// Rate is how many deliveries are taken a second in the long run, Burst how
	// many at once; Rate 0 is without limit, Burst 0 is one second's worth.
	Rate, Burst int
	// OutgoingCustomer is where CallerDesk's reports of outgoing calls have the
	// customer; empty is CustomerInDialWhom.
	OutgoingCustomer OutgoingCustomer
	// Mapping says how a mapped provider's reports are read.
	Mapping *mapping.Mapping
	// SignatureKey is the key of the mapping's signature; empty: deliveries are
	// not asked for one.
	SignatureKey string
	// PublicURL is the address under which the provider reaches this server,
	// which some signatures cover: without the webhook's own path.
	PublicURL string
	// AppID is TeleCMI's app id: the suffix that is cut from users and teams
	// where the report itself does not name it.
	AppID string
}

// OutgoingCustomer is a number field of CallerDesk's call report.
type OutgoingCustomer string

// Where the customer's number of an outgoing call is.
const (
	// CustomerInDialWhom: the agent is SourceNumber, the business number
	// DestinationNumber.
	CustomerInDialWhom OutgoingCustomer = "dial_whom"
	// CustomerInSource: the agent is DialWhomNumber, the business number
	// DestinationNumber, as of an incoming call.
	CustomerInSource OutgoingCustomer = "source"
	// CustomerInDestination: the agent is DialWhomNumber, the business number
	// SourceNumber.
	CustomerInDestination OutgoingCustomer = "destination"
)

func (a *Account) check() error {
	switch {
	case a.Name == "":
		return errors.New("account without a name")
	case a.Provider == call.Mapped && a.Mapping == nil:
		return fmt.Errorf("account %s: no mapping", a.Name)
	case a.Provider == call.Mapped && a.SignatureKey != "" && a.Mapping.Signature == nil:
		return fmt.Errorf("account %s: a signature key, but no signature in the mapping", a.Name)
	case a.Provider != call.CallerDesk && a.Provider != call.TeleCMI && a.Provider != call.Mapped:
		return fmt.Errorf("account %s: unknown provider %q", a.Name, a.Provider)
	case a.Rate < 0 || a.Burst < 0:
		return fmt.Errorf("account %s: negative rate", a.Name)
	}
	switch a.OutgoingCustomer {
	case "", CustomerInDialWhom, CustomerInSource, CustomerInDestination:
		return nil
	}
	return fmt.Errorf("account %s: unknown field %q of the customer", a.Name, a.OutgoingCustomer)
}

// secrets are the hashes of an account's tokens: of equal length whatever the
// tokens, so that comparing takes the same time.
type secrets [2][sha256.Size]byte

func newSecrets(a *Account) (s secrets, err error) {
	if a.Token == "" {
		return s, fmt.Errorf("account %s: no token", a.Name)
	}
	s[0] = sha256.Sum256([]byte(a.Token))
	s[1] = s[0]
	if a.OldToken != "" {
		s[1] = sha256.Sum256([]byte(a.OldToken))
	}
	return s, nil
}

// match compares in constant time. The zero secrets match nothing and take as
// long, for accounts that do not exist.
func (s *secrets) match(token string) bool {
	hash := sha256.Sum256([]byte(token))
	return subtle.ConstantTimeCompare(hash[:], s[0][:])|
		subtle.ConstantTimeCompare(hash[:], s[1][:]) == 1
}
