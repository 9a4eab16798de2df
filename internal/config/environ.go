package config

import (
	"fmt"
	"maps"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v4"
)

// prefix begins the names of Callvault's variables.
const prefix = "CALLVAULT_"

// path leads through the tree: a string is a key, an int an index.
type path []any

func (p path) child(step any) path { return append(slices.Clone(p), step) }

// target is what a variable sets.
type target struct {
	path   path
	list   bool // of scalars, separated by commas
	secret bool // given as value or as file
}

// setAll lays the environment over the tree. A variable that nothing knows is a
// fault: most likely it is misspelt, and what it was to set would be missed.
func (l *loader) setAll(root *yaml.Node, environ map[string]string) {
	// One says where the configuration is, the other is the token by which
	// `callvault drill` asks the API; they set nothing.
	targets := map[string][]target{prefix + "CONFIG": {{}}, prefix + "TOKEN": {{}}}
	l.targets(reflect.TypeFor[Config](), root, strings.TrimSuffix(prefix, "_"),
		nil, environ, targets)
	known := slices.Sorted(maps.Keys(targets))
	for _, name := range slices.Sorted(maps.Keys(environ)) {
		found := targets[name]
		switch {
		case len(found) == 0 && isServiceLink(name, environ[name]):
		case len(found) == 0:
			l.faults = append(l.faults, Fault{Source: name,
				Message: "unknown variable" + didYouMean(name, known)})
		case len(found) > 1:
			l.faults = append(l.faults, Fault{Source: name,
				Message: "could mean more than one entry; " +
					"use the entry's number instead of its name"})
		case found[0].path != nil:
			l.setVariable(root, found[0], name, environ[name])
		}
	}
}

// serviceLink is the end of a variable that Kubernetes puts into every
// container for every service, also for one that is named callvault
// (Kubernetes, "Discovering services").
var serviceLink = regexp.MustCompile(`_(SERVICE_HOST|SERVICE_PORT(_[A-Z0-9_]+)?|` +
	`PORT_[0-9]+_(TCP|UDP|SCTP)(_(PROTO|PORT|ADDR))?)$`)

// isServiceLink tells whether a variable is Kubernetes' and not misspelt:
// CALLVAULT_PORT=tcp://10.0.0.1:8080 is, CALLVAULT_PORT=8080 is not.
func isServiceLink(name, value string) bool {
	return serviceLink.MatchString(name) ||
		strings.HasSuffix(name, "_PORT") && strings.Contains(value, "://")
}

func (l *loader) setVariable(root *yaml.Node, t target, name, value string) {
	node := scalarNode(value)
	if t.list {
		node = &yaml.Node{Kind: yaml.SequenceNode}
		for item := range strings.SplitSeq(value, ",") {
			item := scalarNode(strings.TrimSpace(item))
			l.sources[item] = name
			node.Content = append(node.Content, item)
		}
	}
	l.set(root, t.path, node, name)
	if !t.secret {
		return
	}
	// What the file says of the same secret in the other way is overridden.
	last := len(t.path) - 1
	key := fmt.Sprint(t.path[last])
	other, isFile := strings.CutSuffix(key, fileSuffix)
	if !isFile {
		other = key + fileSuffix
	}
	parent := root
	for _, step := range t.path[:last] {
		parent = childOf(parent, step)
	}
	if n := childOf(parent, other); n != nil && l.sources[n] == "" {
		i := slices.Index(parent.Content, n)
		parent.Content = slices.Delete(parent.Content, i-1, i+1)
	}
}

// targets finds all variables that there can be: for lists of entries those of
// each entry, by number and by name, and of those that the environment adds.
func (l *loader) targets(t reflect.Type, n *yaml.Node, name string, at path,
	environ map[string]string, into map[string][]target,
) {
	add := func(name string, t target) {
		into[name] = append(into[name], t)
	}
	switch {
	case isScalar(t):
		add(name, target{path: at, secret: isSecret(t)})
	case t.Kind() == reflect.Pointer:
		l.targets(t.Elem(), n, name, at, environ, into)
	case t.Kind() == reflect.Slice && isScalar(t.Elem()):
		add(name, target{path: at, list: true})
	case t.Kind() == reflect.Slice:
		if t.Elem().Implements(reflect.TypeFor[shorthand]()) {
			add(name, target{path: at, list: true})
		}
		names := entryNames(n)
		for i := 0; i < len(names) || addsEntry(environ, name, i); i++ {
			at, number := at.child(i), strconv.Itoa(i)
			l.targets(t.Elem(), childOf(n, i), name+"_"+number, at, environ, into)
			if i < len(names) && names[i] != "" && names[i] != number {
				l.targets(t.Elem(), childOf(n, i), name+"_"+names[i], at,
					environ, into)
			}
		}
	default:
		for _, k := range keysOf(t) {
			name, at := name+"_"+spell(k.name), at.child(k.name)
			if k.file {
				add(name, target{path: at, secret: true})
			} else {
				l.targets(k.field.Type, childOf(n, k.name), name, at, environ, into)
			}
		}
	}
}

// entryNames are the names of a list's entries as variables spell them, empty
// for one that has none.
func entryNames(list *yaml.Node) []string {
	if list == nil || list.Kind != yaml.SequenceNode {
		return nil
	}
	names := make([]string, len(list.Content))
	for i, entry := range list.Content {
		if name := childOf(entry, "name"); name != nil {
			names[i] = spell(name.Value)
		}
	}
	return names
}

// addsEntry tells whether a variable names entry i of a list.
func addsEntry(environ map[string]string, list string, i int) bool {
	entry := list + "_" + strconv.Itoa(i) + "_"
	for name := range environ {
		if strings.HasPrefix(name, entry) {
			return true
		}
	}
	return false
}

// spell writes a key or a name as it is written in a variable: in capitals, and
// with _ for everything but letters and digits.
func spell(name string) string {
	return strings.Map(func(r rune) rune {
		switch {
		case r >= 'a' && r <= 'z':
			return r - 'a' + 'A'
		case r >= 'A' && r <= 'Z', r >= '0' && r <= '9':
			return r
		}
		return '_'
	}, name)
}

func scalarNode(value string) *yaml.Node {
	return &yaml.Node{Kind: yaml.ScalarNode, Tag: "!!str", Value: value,
		Style: yaml.DoubleQuotedStyle}
}

// set puts a value into the tree and notes its source. Where the tree is not
// what it should be it does nothing: decoding will say so.
func (l *loader) set(n *yaml.Node, at path, value *yaml.Node, source string) {
	l.sources[value] = source
	for i, step := range at {
		next := value
		if i < len(at)-1 {
			next = childOf(n, step)
			if next == nil || isNull(next) {
				next = &yaml.Node{Kind: yaml.MappingNode}
				if _, isIndex := at[i+1].(int); isIndex {
					next.Kind = yaml.SequenceNode
				}
				l.sources[next] = source
			}
		}
		if !putChild(n, step, next) {
			return
		}
		n = next
	}
}

// childOf is the entry of a mapping or list, nil if there is none.
func childOf(n *yaml.Node, step any) *yaml.Node {
	if n == nil {
		return nil
	}
	switch step := step.(type) {
	case string:
		for i := 0; n.Kind == yaml.MappingNode && i+1 < len(n.Content); i += 2 {
			if n.Content[i].Value == step {
				return n.Content[i+1]
			}
		}
	case int:
		if n.Kind == yaml.SequenceNode && step < len(n.Content) {
			return n.Content[step]
		}
	}
	return nil
}

// putChild sets the entry of a mapping or list, and tells whether it could.
func putChild(n *yaml.Node, step any, value *yaml.Node) bool {
	switch step := step.(type) {
	case string:
		if n.Kind != yaml.MappingNode {
			return false
		}
		for i := 0; i+1 < len(n.Content); i += 2 {
			if n.Content[i].Value == step {
				n.Content[i+1] = value
				return true
			}
		}
		n.Content = append(n.Content, scalarNode(step), value)
	case int:
		if n.Kind != yaml.SequenceNode {
			return false
		}
		for len(n.Content) <= step {
			n.Content = append(n.Content, &yaml.Node{Kind: yaml.MappingNode})
		}
		n.Content[step] = value
	}
	return true
}
