package mapping

import (
	"embed"
	"io/fs"
	"strings"
)

//go:embed shipped/*.yaml
var shipped embed.FS

const shippedSuffix = ".yaml"

// Shipped are the names of the mappings that are part of the program, sorted.
func Shipped() []string {
	entries, err := fs.ReadDir(shipped, "shipped")
	if err != nil {
		return nil // cannot happen: it is part of the program
	}
	names := make([]string, len(entries))
	for i, e := range entries {
		names[i] = strings.TrimSuffix(e.Name(), shippedSuffix)
	}
	return names
}

// ShippedText is a shipped mapping as YAML, with comments.
func ShippedText(name string) (string, bool) {
	text, err := shipped.ReadFile("shipped/" + name + shippedSuffix)
	return string(text), err == nil
}
