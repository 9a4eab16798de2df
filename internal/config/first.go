package config

import (
	"crypto/rand"
	_ "embed"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

//go:embed first.yaml
var first string

// WriteFirst writes the first callvault.yaml into the data folder, with an
// account for each provider, tokens of their own and the daily report, and
// returns what Load then says. It names the agents; of none it shows how. The
// folder is made if it is missing. A file that exists is never touched: the error
// is then fs.ErrExist.
func WriteFirst(o Options, agents []Agent) (*Config, error) {
	folder := o.dataFolder(o.variables())
	if err := os.MkdirAll(folder, 0o700); err != nil {
		return nil, fmt.Errorf("make data folder: %w", err)
	}
	text := strings.NewReplacer(
		"{{sales token}}", newToken(),
		"{{support token}}", newToken(),
		"{{agents}}", agentLines(agents),
	).Replace(first)
	if err := writeNew(filepath.Join(folder, FileName), text); err != nil {
		return nil, fmt.Errorf("write first configuration: %w", err)
	}
	return Load(o)
}

// agentLines are the lines that name agents, as comments if there are none.
func agentLines(agents []Agent) string {
	begin, before := "agents:", "  - "
	if len(agents) == 0 {
		begin, before = "#agents:", "  #- "
		agents = []Agent{{Name: "Asha Rao", Group: "Billing", TeleCMI: []string{"203"}, Numbers: []string{"+919311122233"}}}
	}
	lines := []string{begin}
	for _, a := range agents {
		lines = append(lines, fmt.Sprintf("%s{name: %q, group: %q, telecmi: [%s], numbers: [%s]}", before, a.Name, a.Group, quoted(a.TeleCMI), quoted(a.Numbers)))
	}
	return strings.Join(lines, "\n")
}

func quoted(texts []string) string {
	all := make([]string, len(texts))
	for i, text := range texts {
		all[i] = strconv.Quote(text)
	}
	return strings.Join(all, ", ")
}

// newToken is 40 letters and digits (200 bits) that a double click selects.
func newToken() string {
	return strings.ToLower(rand.Text() + rand.Text())[:40]
}

// writeNew writes a file that must not exist, readable by its owner alone, and
// returns when it is on the disk. What could not be finished is removed: half a
// configuration would be read at the next start.
func writeNew(name, text string) (err error) {
	f, err := os.OpenFile(name, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	_, writeErr := f.WriteString(text)
	if err := errors.Join(writeErr, f.Sync(), f.Close()); err != nil {
		return errors.Join(err, os.Remove(name))
	}
	folder, err := os.Open(filepath.Dir(name))
	if err != nil {
		return err
	}
	return errors.Join(folder.Sync(), folder.Close())
}
