package main

import (
	"fmt"
	"io"
	"runtime"
	"runtime/debug"
)

type versionCommand struct{}

// Run prints the version.
func (versionCommand) Run(g *globals) error {
	v := programVersion()
	return g.print(map[string]string{"version": v, "go": runtime.Version()}, func(w io.Writer) {
		fmt.Fprintf(w, "callvault %s (%s)\n", v, runtime.Version())
	})
}

// programVersion is the release's version or, built from a checkout, that of
// the commit.
func programVersion() string {
	if version != "" {
		return version
	}
	if info, ok := debug.ReadBuildInfo(); ok && info.Main.Version != "" {
		return info.Main.Version
	}
	return "unknown"
}
