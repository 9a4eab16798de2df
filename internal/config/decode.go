package config

import (
	"encoding"
	"fmt"
	"net/netip"
	"reflect"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"go.yaml.in/yaml/v4"
)

// key is one key of a mapping: a struct's field or, for a field that is a
// secret, the file that the secret is read from.
type key struct {
	name  string
	field reflect.StructField
	file  bool
}

// fileSuffix makes a secret's key the key of its file.
const fileSuffix = "_file"

// keysOf are the keys of a struct.
func keysOf(t reflect.Type) []key {
	var keys []key
	for field := range t.Fields() {
		name, _, _ := strings.Cut(field.Tag.Get("yaml"), ",")
		if name == "-" {
			continue
		}
		keys = append(keys, key{name: name, field: field})
		if isSecret(field.Type) {
			keys = append(keys,
				key{name: name + fileSuffix, field: field, file: true})
		}
	}
	return keys
}

func isSecret(t reflect.Type) bool {
	return t == reflect.TypeFor[Secret]() || t == reflect.TypeFor[SecretURL]()
}

// isScalar tells whether a type is written as one value.
func isScalar(t reflect.Type) bool {
	switch t.Kind() {
	case reflect.String, reflect.Bool, reflect.Int, reflect.Int64:
		return true
	default:
		return t == reflect.TypeFor[netip.Prefix]() ||
			reflect.PointerTo(t).Implements(
				reflect.TypeFor[encoding.TextUnmarshaler]())
	}
}

// defaulter is a struct that may occur often or not at all, and so has its
// defaults itself.
type defaulter interface{ setDefaults() }

func setDefaults(v reflect.Value) {
	if d, ok := reflect.TypeAssert[defaulter](v.Addr()); ok {
		d.setDefaults()
	}
}

// oneOrMore is a list that may be written as its only entry.
type oneOrMore interface{ OneOrMore() }

// shorthand is a struct that may be written as the value of its main key.
type shorthand interface{ Shorthand() string }

// decode reads a node into a value that holds its default, which stays where
// nothing is given or what is given is at fault.
func (l *loader) decode(v reflect.Value, n *yaml.Node, at string) {
	l.origins[at] = n // a key that is left empty was written, too
	if isNull(n) {
		return
	}
	if n.Kind == yaml.AliasNode || n.Anchor != "" {
		l.fault(at, "anchors and aliases (& and *) are not supported; "+
			"quote a value that begins with one")
		return
	}
	t := v.Type()
	if n.Kind != yaml.SequenceNode && t.Kind() == reflect.Slice && t.Implements(reflect.TypeFor[oneOrMore]()) {
		n = l.around(n, yaml.SequenceNode, n)
	}
	if s, ok := reflect.TypeAssert[shorthand](v); ok && n.Kind != yaml.MappingNode {
		label := scalarNode(s.Shorthand())
		label.Line = n.Line
		n = l.around(n, yaml.MappingNode, label, n)
	}
	switch {
	case t == reflect.TypeFor[Mapping]():
		l.decodeMapping(v, n, at)
	case isScalar(t):
		l.decodeScalar(v, n, at)
	case t.Kind() == reflect.Pointer:
		v.Set(reflect.New(t.Elem()))
		setDefaults(v.Elem())
		l.decode(v.Elem(), n, at)
	case t.Kind() == reflect.Slice:
		if n.Kind != yaml.SequenceNode {
			l.fault(at, "must be a list, such as [a, b]")
			return
		}
		v.Set(reflect.MakeSlice(t, len(n.Content), len(n.Content)))
		for i, item := range n.Content {
			setDefaults(v.Index(i))
			at := fmt.Sprintf("%s[%d]", at, i)
			if isNull(item) {
				l.origins[at] = item
				l.fault(at, "must not be empty")
				continue
			}
			l.decode(v.Index(i), item, at)
		}
	default:
		l.decodeStruct(v, n, at)
	}
}

func (l *loader) decodeStruct(v reflect.Value, n *yaml.Node, at string) {
	if n.Kind != yaml.MappingNode {
		if at == "" {
			at = "the file"
		}
		l.fault(at, "must be keys and values")
		return
	}
	keys := make(map[string]key)
	var names []string
	for _, k := range keysOf(v.Type()) {
		keys[k.name] = k
		names = append(names, k.name)
	}
	seen := make(map[string]*yaml.Node)
	for i := 0; i+1 < len(n.Content); i += 2 {
		label, value := n.Content[i], n.Content[i+1]
		name := label.Value
		at := join(at, name)
		k, known := keys[name]
		if first := seen[name]; first != nil && known {
			l.origins[at] = label
			l.fault(at, "is given twice, first in line %d", first.Line)
			continue
		}
		if !known {
			l.unknown(label, at, names)
			continue
		}
		seen[name] = label
		value.Line = label.Line // a fault is shown where its key stands
		if k.file {
			l.decodeFile(v.FieldByIndex(k.field.Index), value, at)
		} else {
			l.decode(v.FieldByIndex(k.field.Index), value, at)
		}
	}
}

// around puts a node into one that was not written, at the same place.
func (l *loader) around(n *yaml.Node, kind yaml.Kind, content ...*yaml.Node) *yaml.Node {
	outer := &yaml.Node{Kind: kind, Line: n.Line, Content: content}
	if source, ok := l.sources[n]; ok {
		l.sources[outer] = source
	}
	if file, ok := l.files[n]; ok {
		l.files[outer] = file
	}
	return outer
}

// unknown notes a key that there is not.
func (l *loader) unknown(label *yaml.Node, at string, names []string) {
	if label.Kind != yaml.ScalarNode {
		at = "?"
	}
	file := l.file
	if other, ok := l.files[label]; ok {
		file = other
	}
	l.faults = append(l.faults, Fault{File: file, Line: label.Line, Key: cut(at),
		Message: "unknown key" + didYouMean(cut(label.Value), names)})
}

// decodeFile reads the file that a secret lies in.
func (l *loader) decodeFile(v reflect.Value, n *yaml.Node, at string) {
	secret := strings.TrimSuffix(at, fileSuffix)
	var name string
	l.decode(reflect.ValueOf(&name).Elem(), n, at)
	if name == "" {
		return
	}
	if l.given(secret) && v.String() != "" {
		l.fault(at, "cannot be given together with %s", secret)
		return
	}
	l.origins[secret] = n
	data, err := readFile(name)
	text := strings.TrimRight(string(data), "\r\n")
	switch {
	case err != nil:
		l.fault(at, "%v", err)
	case text == "":
		l.fault(at, "%s is empty", name)
	case !utf8.ValidString(text) || strings.ContainsAny(text, "\x00\r\n"):
		l.fault(at, "%s is not one line of text", name)
	default:
		v.SetString(text)
	}
}

func (l *loader) decodeScalar(v reflect.Value, n *yaml.Node, at string) {
	if n.Kind != yaml.ScalarNode {
		l.fault(at, "must be a single value")
		return
	}
	if isSecret(v.Type()) && v.String() != "" && n.Value != "" {
		// The other one of value and file came first.
		l.fault(at, "cannot be given together with %s", at+fileSuffix)
		return
	}
	if err := setScalar(v, n.Value); err != nil {
		l.fault(at, "%v", err)
	}
}

// setScalar reads text into a scalar. Its error quotes the text, which is
// never a secret's: those take any text.
func setScalar(v reflect.Value, text string) error {
	quoted := quote([]byte(text))
	switch p := v.Addr().Interface().(type) {
	case *time.Duration:
		d, err := time.ParseDuration(text)
		if err != nil {
			return fmt.Errorf("%s is not a duration such as 10s, 15m or 72h",
				quoted)
		}
		*p = d
		return nil
	case *netip.Prefix:
		prefix, err := parsePrefix(text)
		if err == nil {
			*p = prefix
		}
		return err
	case encoding.TextUnmarshaler:
		return p.UnmarshalText([]byte(text))
	}
	switch v.Kind() {
	case reflect.String:
		v.SetString(text)
	case reflect.Bool:
		b, ok := map[string]bool{"true": true, "yes": true, "on": true,
			"1": true, "false": false, "no": false, "off": false, "0": false,
		}[strings.ToLower(text)]
		if !ok {
			return fmt.Errorf("%s is neither true nor false", quoted)
		}
		v.SetBool(b)
	default:
		n, err := strconv.ParseInt(text, 10, 64)
		if err != nil {
			return fmt.Errorf("%s is not a whole number", quoted)
		}
		v.SetInt(n)
	}
	return nil
}

// isNull tells whether a key stands there without a value.
func isNull(n *yaml.Node) bool {
	return n.Kind == yaml.ScalarNode && n.Style == 0 &&
		n.ShortTag() == "!!null"
}

func join(at, name string) string {
	if at == "" {
		return name
	}
	return at + "." + name
}

// cut bounds what a fault repeats.
func cut(text string) string {
	const most = 100
	if len(text) > most {
		return strings.ToValidUTF8(text[:most], "") + "…"
	}
	return text
}
