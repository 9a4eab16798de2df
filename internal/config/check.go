package config

import (
	"cmp"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"regexp"
	"strings"
	"time"
)

// entryName is the rule for names that stand in paths, variables and object
// keys.
var entryName = regexp.MustCompile(`^[a-z0-9][a-z0-9_-]*$`)

// require notes a key that must be given and is not.
func (l *loader) require(at, key, value string) bool {
	if value == "" && !l.faulty(at+"."+key) {
		l.fault(at+"."+key, "must be given")
	}
	return value != ""
}

// faulty tells whether something is already known to be wrong with a key, or
// with the file that it was to be read from.
func (l *loader) faulty(at string) bool {
	for _, f := range l.faults {
		if f.Key == at || f.Key == at+fileSuffix {
			return true
		}
	}
	return false
}

// unique notes a value that an earlier entry has; seen maps values to paths.
func (l *loader) unique(seen map[string]string, at, value string) {
	if other, taken := seen[value]; taken {
		l.fault(at, "%s is already %s", quote([]byte(value)), other)
		return
	}
	seen[value] = at
}

// checkName checks the name of an entry that people and addresses call it by.
func (l *loader) checkName(seen map[string]string, at, name string) {
	if !l.require(at, "name", name) {
		return
	}
	if len(name) > 40 || !entryName.MatchString(name) {
		l.fault(at+".name", "%s may only hold a-z, 0-9, - and _, at most 40, "+
			"and begins with a letter or digit", quote([]byte(name)))
	}
	l.unique(seen, at+".name", name)
}

// oneOf notes a value that is none of those allowed.
func oneOf[T ~string](l *loader, at string, value T, allowed ...T) bool {
	names := make([]string, len(allowed))
	for i, a := range allowed {
		if a == value {
			return true
		}
		names[i] = string(a)
	}
	if len(names) == 0 {
		names = []string{"(there is none)"}
	}
	l.fault(at, "%s must be one of %s%s", quote([]byte(value)),
		strings.Join(names, ", "), didYouMean(cut(string(value)), names))
	return false
}

// within notes a value that is out of its range.
func within[T cmp.Ordered](l *loader, at string, value, least, most T) {
	if value < least || value > most {
		l.fault(at, "must be between %s and %s", show(least), show(most))
	}
}

// show writes a bound as the key writes it.
func show(value any) string {
	if d, ok := value.(time.Duration); ok {
		return showDuration(d)
	}
	return fmt.Sprint(value)
}

// showDuration writes 72h instead of 72h0m0s.
func showDuration(d time.Duration) string {
	s := d.String()
	if strings.HasSuffix(s, "m0s") {
		s = strings.TrimSuffix(s, "0s")
	}
	if strings.HasSuffix(s, "h0m") {
		s = strings.TrimSuffix(s, "0m")
	}
	return s
}

// RootCAs reads a file of PEM certificates. Its error names the file.
func RootCAs(file string) (*x509.CertPool, error) {
	data, err := readFile(file)
	if err != nil {
		return nil, err
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(data) {
		return nil, fmt.Errorf("%s holds no PEM certificate", file)
	}
	return pool, nil
}

// loadKeyPair finds out now what would otherwise keep the server from starting.
func loadKeyPair(certFile, keyFile string) error {
	cert, certErr := readFile(certFile)
	key, keyErr := readFile(keyFile)
	if err := errors.Join(certErr, keyErr); err != nil {
		return errors.New(strings.ReplaceAll(err.Error(), "\n", "; "))
	}
	if _, err := tls.X509KeyPair(cert, key); err != nil {
		return fmt.Errorf("%s and %s: %w", certFile, keyFile, err)
	}
	return nil
}
