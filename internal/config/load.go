package config

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"reflect"
	"strings"

	"go.yaml.in/yaml/v4"
)

// FileName is the file that is read from, and first written to, the data
// folder.
const FileName = "callvault.yaml"

// Options say where the configuration comes from. What they hold wins over the
// environment, and the environment over the file.
type Options struct {
	// File is the --config flag. Empty: CALLVAULT_CONFIG, else callvault.yaml in
	// the data folder, if there is one.
	File string
	// Data is the --data flag. Empty: CALLVAULT_DATA, else what the file says.
	Data string
	// Listen is the --listen flag. Empty: CALLVAULT_LISTEN, else what the file
	// says.
	Listen string
	// Environ is the environment as NAME=value; os.Environ in production. nil:
	// no environment.
	Environ func() []string
}

// Load reads, completes and validates the configuration. Everything that is
// wrong with it is one error of type Faults; other errors are of reading the
// file.
func Load(o Options) (*Config, error) {
	environ := o.variables()
	l := newLoader()
	root, err := l.read(o, environ)
	if err != nil {
		return nil, err
	}
	l.setAll(root, environ)
	for _, flag := range []struct{ name, key, value string }{
		{"--data", "data", o.Data}, {"--listen", "listen", o.Listen},
	} {
		if flag.value != "" {
			l.set(root, path{flag.key}, scalarNode(flag.value), flag.name)
		}
	}
	c := Default()
	l.origins[""] = root
	l.decode(reflect.ValueOf(&c).Elem(), root, "")
	// Also after faults of decoding: all are to be reported at once. What could
	// not be read has kept its default, and is not complained of twice.
	c.check(l)
	if len(l.faults) > 0 {
		sortFaults(l.faults)
		return nil, Faults(l.faults)
	}
	sortFaults(l.notices)
	c.File, c.Notices = l.file, l.notices
	return &c, nil
}

// variables are the variables of the environment that are Callvault's. An empty
// one counts as not given: that is how Compose passes on what is not set.
func (o Options) variables() map[string]string {
	found := make(map[string]string)
	if o.Environ == nil {
		return found
	}
	for _, pair := range o.Environ() {
		name, value, _ := strings.Cut(pair, "=")
		if strings.HasPrefix(name, prefix) && value != "" {
			found[name] = value
		}
	}
	return found
}

// dataFolder is the data folder as it is known before a file is read.
func (o Options) dataFolder(environ map[string]string) string {
	for _, folder := range []string{o.Data, environ[prefix+"DATA"]} {
		if folder != "" {
			return folder
		}
	}
	return Default().Data
}

// loader is one run of Load: what was read, and what is wrong with it.
type loader struct {
	file    string
	sources map[*yaml.Node]string // variable or flag of what is not the file's
	files   map[*yaml.Node]string // the file of what is in another one
	origins map[string]*yaml.Node // what was given, by key path
	faults  []Fault
	notices []Fault
}

func newLoader() *loader {
	return &loader{
		sources: make(map[*yaml.Node]string),
		files:   make(map[*yaml.Node]string),
		origins: make(map[string]*yaml.Node),
	}
}

// maxFile bounds the configuration file, and the files of secrets.
const maxFile = 1 << 20

// read is the file's tree, or an empty one if there is no file.
func (l *loader) read(o Options, environ map[string]string) (*yaml.Node, error) {
	empty := &yaml.Node{Kind: yaml.MappingNode}
	file, demanded := o.File, true
	if file == "" {
		file = environ[prefix+"CONFIG"]
	}
	if file == "" {
		file = filepath.Join(o.dataFolder(environ), FileName)
		demanded = false
	}
	data, err := readFile(file)
	if errors.Is(err, fs.ErrNotExist) && !demanded {
		return empty, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read configuration: %w", err)
	}
	l.file = file
	return l.parse(data), nil
}

// parse reads YAML into a tree; what cannot be read is a fault and an empty
// tree.
func (l *loader) parse(data []byte) *yaml.Node {
	empty := &yaml.Node{Kind: yaml.MappingNode}
	if len(strings.TrimSpace(string(data))) == 0 {
		return empty
	}
	loader, err := yaml.NewLoader(strings.NewReader(string(data)))
	if err != nil {
		l.syntax(err)
		return empty
	}
	var document, second yaml.Node
	if err := loader.Load(&document); errors.Is(err, io.EOF) {
		return empty // comments only
	} else if err != nil {
		l.syntax(err)
		return empty
	}
	if err := loader.Load(&second); err == nil {
		l.faults = append(l.faults, Fault{File: l.file, Line: second.Line,
			Message: "holds a second YAML document; only one is read"})
	} else if !errors.Is(err, io.EOF) {
		l.syntax(err)
	}
	if len(document.Content) != 1 || isNull(document.Content[0]) {
		return empty
	}
	return document.Content[0]
}

// syntax tells a fault of the parser's.
func (l *loader) syntax(err error) {
	fault := Fault{File: l.file, Message: "is not YAML"}
	if at, ok := errors.AsType[*yaml.LoadError](err); ok {
		fault.Line = at.Mark.Line
		fault.Message = "is not YAML: " + at.Message
		if strings.Contains(at.Message, "anchor") {
			// The message would repeat what may be a secret.
			fault.Message = "is not YAML: a value that begins with * " +
				"must be quoted"
		}
	}
	l.faults = append(l.faults, fault)
}

// fault notes what is wrong with the key at path.
func (l *loader) fault(path, format string, values ...any) {
	l.faults = append(l.faults, l.locate(path, fmt.Sprintf(format, values...)))
}

// notice notes what is worth knowing of the key at path.
func (l *loader) notice(path, message string) {
	l.notices = append(l.notices, l.locate(path, message))
}

// locate finds where the key at path was given; of a key that was not, where
// that was given which should hold it.
func (l *loader) locate(path, message string) Fault {
	fault := Fault{Key: path, Message: message}
	node := l.origins[path]
	for node == nil && path != "" {
		path = path[:max(0, strings.LastIndexAny(path, ".["))]
		node = l.origins[path]
	}
	if node == nil {
		return fault
	}
	if source, ok := l.sources[node]; ok {
		fault.Source = source
	} else if file, ok := l.files[node]; ok {
		fault.File, fault.Line = file, node.Line
	} else if l.file != "" {
		fault.File, fault.Line = l.file, node.Line
	}
	return fault
}

// given tells whether the key at path, or the file of a secret's, was given and
// not left empty.
func (l *loader) given(path string) bool {
	n := l.origins[path]
	return n != nil && !isNull(n) && (n.Kind != yaml.ScalarNode || n.Value != "")
}

// readFile reads a file of bounded size.
func readFile(name string) (data []byte, err error) {
	f, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	data, err = io.ReadAll(io.LimitReader(f, maxFile+1))
	if err == nil && len(data) > maxFile {
		return nil, fmt.Errorf("%s is larger than 1 MiB", name)
	}
	return data, err
}
