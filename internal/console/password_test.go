package console_test

import (
	"testing"

	"callvault/internal/console"
)

func TestPasswords(t *testing.T) {
	t.Parallel()
	hash := console.HashPassword("correct horse battery staple")
	if !console.PasswordMatches(hash, "correct horse battery staple") {
		t.Error("the right password does not match")
	}
	if hash == console.HashPassword("correct horse battery staple") {
		t.Error("two hashes of one password are equal: there is no salt")
	}
	for _, wrong := range []string{"", "$argon2id$", "$argon2id$v=19$m=0,t=0,p=0$$", hash[:len(hash)-2], "plain"} {
		if console.PasswordMatches(wrong, "correct horse battery staple") {
			t.Errorf("%q matches", wrong)
		}
	}
	if console.PasswordMatches(hash, "correct horse battery stapl") {
		t.Error("a wrong password matches")
	}
}
