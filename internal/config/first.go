package config

import (
	"crypto/rand"
	_ "embed"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

//go:embed first.yaml
var first string

// WriteFirst writes the first callvault.yaml into the data folder, with an
// account for each provider, tokens of their own and the daily report, and
// returns what Load then says. The folder is made if it is missing. A file that
// exists is never touched: the error is then fs.ErrExist.
func WriteFirst(o Options) (*Config, error) {
	folder := o.dataFolder(o.variables())
	if err := os.MkdirAll(folder, 0o700); err != nil {
		return nil, fmt.Errorf("make data folder: %w", err)
	}
	text := strings.NewReplacer(
		"{{sales token}}", newToken(),
		"{{support token}}", newToken(),
	).Replace(first)
	if err := writeNew(filepath.Join(folder, FileName), text); err != nil {
		return nil, fmt.Errorf("write first configuration: %w", err)
	}
	return Load(o)
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
