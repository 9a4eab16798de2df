package config

import (
	_ "embed"
	"fmt"
	"io"

	"go.yaml.in/yaml/v4"
)

//go:embed config.example.yaml
var example string

// Example is a configuration with every key, its meaning and its default, to
// start from and to learn from.
func Example() string { return example }

// Print writes the effective configuration, defaults and environment included,
// as YAML. Secrets are masked.
func (c *Config) Print(w io.Writer) error {
	data, err := yaml.Dump(*c)
	if err != nil {
		return fmt.Errorf("print configuration: %w", err)
	}
	if _, err := w.Write(data); err != nil {
		return fmt.Errorf("print configuration: %w", err)
	}
	return nil
}
