package config

import (
	"fmt"
	"io"
	"net/http"
	"reflect"
	"slices"
	"strings"

	"go.yaml.in/yaml/v4"

	"callvault/internal/mapping"
)

// Mapping says how the reports of a mapped account are read. In YAML it is the
// name of a shipped mapping, a file, or the mapping itself.
type Mapping struct {
	// Name is the shipped mapping or the file; empty if it stands here itself.
	Name string
	*mapping.Mapping
}

// UnmarshalText takes a name; what it names is read by Load alone.
func (m *Mapping) UnmarshalText(text []byte) error {
	m.Name = string(text)
	return nil
}

// MarshalYAML writes the mapping as it was given.
func (m Mapping) MarshalYAML() (any, error) {
	if m.Name != "" || m.Mapping == nil {
		return m.Name, nil
	}
	return m.Mapping, nil
}

// IsZero tells whether none was given.
func (m Mapping) IsZero() bool { return m.Name == "" && m.Mapping == nil }

// Credential is a header, or a parameter of the query, that is a secret.
type Credential struct {
	// Name is that of the header or parameter. Required.
	Name string `yaml:"name"`

	// Value is the secret. Required.
	Value Secret `yaml:"value"`
}

// ReadMapping reads a mapping by the name of a shipped one or of a file. All
// that is wrong with it is one error of type Faults.
func ReadMapping(name string) (*mapping.Mapping, error) {
	l := newLoader()
	var m Mapping
	l.decode(reflect.ValueOf(&m).Elem(), scalarNode(name), "mapping")
	if len(l.faults) > 0 {
		sortFaults(l.faults)
		return nil, Faults(l.faults)
	}
	return m.Mapping, nil
}

// decodeMapping reads a mapping, wherever it is.
func (l *loader) decodeMapping(v reflect.Value, n *yaml.Node, at string) {
	m := Mapping{Mapping: &mapping.Mapping{}}
	if n.Kind != yaml.MappingNode {
		l.decodeScalar(reflect.ValueOf(&m).Elem(), n, at)
		if m.Name == "" {
			return
		}
		if n = l.readMapping(m.Name, at); n == nil {
			return
		}
	}
	l.decodeStruct(reflect.ValueOf(m.Mapping).Elem(), n, at)
	m.Check(func(key, message string) {
		if !l.faulty(join(at, key)) {
			l.fault(join(at, key), "%s", message)
		}
	})
	v.Set(reflect.ValueOf(m))
}

// readMapping finds a mapping by its name: a shipped one, unless the name looks
// like that of a file.
func (l *loader) readMapping(name, at string) *yaml.Node {
	var text, file string
	if strings.ContainsAny(name, `/\.`) {
		data, err := readFile(name)
		if err != nil {
			l.fault(at, "%v", err)
			return nil
		}
		text, file = string(data), name
	} else {
		var shipped bool
		if text, shipped = mapping.ShippedText(name); !shipped {
			names := mapping.Shipped()
			l.fault(at, "%s is neither one of %s nor a file such as ./%s.yaml%s", quote([]byte(name)),
				strings.Join(names, ", "), cut(name), didYouMean(cut(name), names))
			return nil
		}
		file = name + ".yaml (shipped)"
	}
	outer := l.file
	l.file = file
	root := l.parse([]byte(text))
	l.file = outer
	l.keepFile(root, file)
	return root
}

// keepFile notes that a tree is another file's.
func (l *loader) keepFile(n *yaml.Node, file string) {
	l.files[n] = file
	for _, child := range n.Content {
		l.keepFile(child, file)
	}
}

// Shipped are the names of the mappings that are part of the program.
func Shipped() []string { return mapping.Shipped() }

// PrintMapping writes a shipped mapping, to start one's own from.
func PrintMapping(w io.Writer, name string) error {
	text, shipped := mapping.ShippedText(name)
	if !shipped {
		names := mapping.Shipped()
		return fmt.Errorf("there is no mapping named %q: it is one of %s%s", cut(name), strings.Join(names, ", "),
			didYouMean(cut(name), names))
	}
	_, err := io.WriteString(w, text)
	return err
}

// checkMapped completes and checks an account whose provider is mapped.
func (a *Account) checkMapped(l *loader, at, publicURL string) {
	if l.given(at + ".api_url") {
		l.fault(at+".api_url", "is not for accounts of mapped, which has no API")
	}
	if a.Mapping.IsZero() {
		if !l.faulty(at + ".mapping") {
			l.fault(at+".mapping", "must be given: one of %s, a file, or the mapping itself",
				strings.Join(mapping.Shipped(), ", "))
		}
		return
	}
	if a.Mapping.Mapping == nil {
		return // told already
	}
	a.checkRecordings(l, at)
	a.checkSignature(l, at, publicURL)
}

func (a *Account) checkSignature(l *loader, at, publicURL string) {
	signature := a.Mapping.Signature
	switch {
	case signature == nil && a.SignatureKey != "":
		l.fault(at+".signature_key", "is of no use: the mapping has no signature")
	case signature == nil:
	case a.SignatureKey == "":
		l.notice(at, "deliveries are signed, and are not checked without signature_key")
	case signature.NeedsURL() && publicURL == "":
		l.fault(at+".signature_key", "needs public_url: the signature covers the address that the provider calls")
	}
}

func (a *Account) checkRecordings(l *loader, at string) {
	switch {
	case a.RecordingUser == "" && a.RecordingPassword != "":
		l.fault(at+".recording_user", "must be given with recording_password")
	case a.RecordingUser != "" && a.RecordingPassword == "":
		l.fault(at+".recording_password", "must be given with recording_user")
	case strings.Contains(a.RecordingUser, ":"):
		l.fault(at+".recording_user", "must not hold a colon (RFC 7617)")
	}
	seen := make(map[string]string)
	for i, c := range a.RecordingHeaders {
		key := fmt.Sprintf("%s.recording_headers[%d]", at, i)
		if !c.check(l, key) {
			continue
		}
		name := http.CanonicalHeaderKey(c.Name)
		l.unique(seen, key+".name", name)
		switch {
		case !headerName(c.Name):
			l.fault(key+".name", "%s is not the name of a header", quote([]byte(c.Name)))
		case slices.Contains(notForCredentials(), name):
			l.fault(key+".name", "%s is not for credentials", name)
		case name == "Authorization" && a.RecordingUser != "":
			l.fault(key+".name", "Authorization cannot be given together with recording_user")
		case strings.ContainsFunc(c.Value.Reveal(), func(r rune) bool { return r < ' ' || r == 0x7f }):
			l.fault(key+".value", "must not hold control characters")
		}
	}
	seen = make(map[string]string)
	for i, c := range a.RecordingQuery {
		key := fmt.Sprintf("%s.recording_query[%d]", at, i)
		if c.check(l, key) {
			l.unique(seen, key+".name", c.Name)
		}
	}
	if len(a.Mapping.Recordings) > 0 && len(a.RecordingHosts) == 0 {
		l.notice(at, "without recording_hosts no recording of this account can be fetched")
	}
}

func (c Credential) check(l *loader, at string) bool {
	name, value := l.require(at, "name", c.Name), l.require(at, "value", c.Value.Reveal())
	return name && value
}

// notForCredentials are headers that belong to the connection or the request.
func notForCredentials() []string {
	return []string{"Host", "Content-Length", "Transfer-Encoding", "Connection", "Range", "Accept-Encoding", "Referer"}
}

// headerName is a token as RFC 9110, section 5.6.2, has it.
func headerName(name string) bool {
	return name != "" && !strings.ContainsFunc(name, func(r rune) bool {
		return (r < 'a' || r > 'z') && (r < 'A' || r > 'Z') && (r < '0' || r > '9') &&
			!strings.ContainsRune("!#$%&'*+-.^_`|~", r)
	})
}
