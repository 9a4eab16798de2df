package main

import (
	"context"
	"os"
	"runtime/debug"
	memory "runtime/metrics"
	"time"
)

const (
	// usualGC is Go's own figure: the heap may grow by so many percent of what
	// is in use before it is collected.
	usualGC = 100
	// crowdGarbage is how much may gather in a crowd, in bytes. A receiver has
	// little in use and makes much garbage.
	crowdGarbage = 64 << 20
	// crowdGCLook is how often it is looked for a crowd.
	crowdGCLook = time.Second
)

// collectLess lets the garbage collector run less often while busy says that
// reports come in crowds, for some MiB more, until ctx ends. What needs memory in
// step with its work, as building a report does, gets no more for it. An operator
// who has set GOGC is left alone.
func collectLess(ctx context.Context, busy func() bool) {
	if os.Getenv("GOGC") != "" {
		return
	}
	defer debug.SetGCPercent(usualGC)
	live := []memory.Sample{{Name: "/gc/heap/live:bytes"}}
	ticker := time.NewTicker(crowdGCLook)
	defer ticker.Stop()
	for now := usualGC; ; {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
		percent := usualGC
		if memory.Read(live); busy() && live[0].Value.Uint64() > 0 {
			percent = max(usualGC, int(crowdGarbage*100/live[0].Value.Uint64()))
		}
		// To set it stops the world for a moment.
		if percent < now*3/4 || percent > now*4/3 {
			debug.SetGCPercent(percent)
			now = percent
		}
	}
}
