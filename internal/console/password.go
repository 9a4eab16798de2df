package console

import (
	"crypto/rand"
	"crypto/subtle"
	"encoding/base64"
	"fmt"
	"strings"

	"golang.org/x/crypto/argon2"
)

// The parameters of argon2id: those of the OWASP Password Storage Cheat Sheet
// that take the least memory.
const (
	passwordTime    = 5
	passwordMemory  = 7 << 10 // KiB
	passwordThreads = 1
	passwordKey     = 32
	passwordSalt    = 16
)

// HashPassword makes of a password what is stored: an argon2id hash in the PHC
// string format, with its parameters, so that they can change later.
func HashPassword(password string) string {
	salt := make([]byte, passwordSalt)
	rand.Read(salt)
	key := argon2.IDKey([]byte(password), salt, passwordTime, passwordMemory, passwordThreads, passwordKey)
	b64 := base64.RawStdEncoding
	return fmt.Sprintf("$argon2id$v=%d$m=%d,t=%d,p=%d$%s$%s", argon2.Version,
		passwordMemory, passwordTime, passwordThreads, b64.EncodeToString(salt), b64.EncodeToString(key))
}

// PasswordMatches reports whether hash was made of password. A hash that
// cannot be read matches nothing.
func PasswordMatches(hash, password string) bool {
	parts := strings.Split(hash, "$")
	if len(parts) != 6 || parts[1] != "argon2id" {
		return false
	}
	var version int
	var memory, rounds uint32
	var threads uint8
	if _, err := fmt.Sscanf(parts[2], "v=%d", &version); err != nil || version != argon2.Version {
		return false
	}
	if _, err := fmt.Sscanf(parts[3], "m=%d,t=%d,p=%d", &memory, &rounds, &threads); err != nil || rounds == 0 || threads == 0 {
		return false
	}
	salt, err := base64.RawStdEncoding.DecodeString(parts[4])
	if err != nil {
		return false
	}
	key, err := base64.RawStdEncoding.DecodeString(parts[5])
	if err != nil || len(key) == 0 || len(key) > 1024 || memory > 1<<20 {
		return false
	}
	got := argon2.IDKey([]byte(password), salt, rounds, memory, threads, uint32(len(key)))
	return subtle.ConstantTimeCompare(got, key) == 1
}
