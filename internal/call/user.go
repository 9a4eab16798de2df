package call

import "time"

// Role says what a user or token may do. Each role includes those before it.
type Role string

// The roles, from the least to the most.
const (
	Viewer     Role = "viewer"
	Manager    Role = "manager"
	Compliance Role = "compliance"
	Admin      Role = "admin"
)

// Roles lists the roles, from the least to the most.
func Roles() []Role { return []Role{Viewer, Manager, Compliance, Admin} }

// MayHear reports whether the role may listen to recordings and see what leads
// to them: sources, object keys, raw deliveries.
func (r Role) MayHear() bool { return r == Compliance || r == Admin }

// User is a person who logs in.
type User struct {
	Name string
	Role Role
	// Groups limit what the user sees to these groups; empty: all.
	Groups       []string
	PasswordHash string
	CreatedAt    time.Time
	Disabled     bool
}

// Session is a login of a user to the console's pages.
type Session struct {
	// Hash is the SHA-256 of the token by which the browser shows it.
	Hash [32]byte
	User User
	// Network is that from which the user logged in: a CIDR.
	Network string
	// Lasts is how long it lasts.
	Lasts time.Duration
}

// Token is a program's bearer token. The token itself is shown once and never
// stored, only its SHA-256.
type Token struct {
	Name   string
	Role   Role
	Groups []string
	// Hash is the SHA-256 of the token.
	Hash       [32]byte
	CreatedAt  time.Time
	LastUsedAt time.Time
	Disabled   bool
}
