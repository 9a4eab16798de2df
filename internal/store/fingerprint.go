package store

import (
	"crypto/sha256"
	"encoding/hex"
)

// fingerprint is what the audit log tells of a secret, in lower-case hex, so that it
// is noticed if somebody puts another in its place. It gives nothing away, for
// nobody can guess what it is of: the hash of a password has 16 random bytes of salt
// in it, which stand in no log, tokens have 256 random bits, and the key of erased
// numbers has 260. sort keeps one secret from ever having another's fingerprint.
func fingerprint(sort string, secret []byte) string {
	sum := sha256.Sum256(append([]byte("callvault "+sort+"\n"), secret...))
	return hex.EncodeToString(sum[:])
}
