package main

import (
	"os"
	"runtime/debug"
)

// The garbage collector lets the heap grow by so many percent of what is in
// use. A server has little in use and makes much garbage: at twice Go's own
// figure it spends noticeably less time on collecting, for some MiB.
const (
	servingGC  = 200
	buildingGC = 100 // Go's own
)

// serveWithMemory sets the collector for a server, unless the operator has set
// GOGC. It returns what makes it frugal while a report is built, which takes
// memory in step with its period; the function that this returns ends it.
func serveWithMemory() (frugal func() (end func())) {
	if os.Getenv("GOGC") != "" {
		return nil
	}
	debug.SetGCPercent(servingGC)
	return func() func() {
		debug.SetGCPercent(buildingGC)
		return func() { debug.SetGCPercent(servingGC) }
	}
}
