package config

import "time"

// Archive is how recordings are fetched from the providers.
type Archive struct {
	// Workers is how many recordings a node fetches at once, 1 to 256. Default 8.
	Workers int `yaml:"workers"`

	// PerHost is how many of them from one host, 1 to 256. Default 4: a slow host
	// leaves workers for the others.
	PerHost int `yaml:"per_host"`

	// MaxSize is the largest recording taken, 1KiB to 5GiB (what S3 takes in one
	// piece). Default 512MiB. Danger: what is larger is refused and not tried
	// again by itself.
	MaxSize Size `yaml:"max_size"`

	// FirstTryAfter is how long after the call report a recording is first asked
	// for, 0 to 1h. Default 10s: providers publish it a little after the call.
	// Once 50 recordings of an account have shown when its recordings are ready,
	// the first try follows them instead, and is never earlier than a value here
	// that is not the default.
	FirstTryAfter time.Duration `yaml:"first_try_after"`

	// GiveUpAfter is how long a recording is asked for before it counts as
	// absent, 1s to 2160h (90 days), longer than FirstTryAfter. Default 72h.
	// Danger: what a provider publishes later is not fetched.
	GiveUpAfter time.Duration `yaml:"give_up_after"`

	// Analyse lets the node listen to archived recordings while it has nothing
	// else to do, one at a time, for their waveform and how much of them is
	// silent. Default true.
	Analyse bool `yaml:"analyse"`
}

// FirstTryAtLeast is how early after the call report a first try may come that
// follows what was learned: as early as one likes by default.
func (a *Archive) FirstTryAtLeast() time.Duration {
	if a.FirstTryAfter == Default().Archive.FirstTryAfter {
		return 0
	}
	return a.FirstTryAfter
}

func (a *Archive) check(l *loader) {
	within(l, "archive.workers", a.Workers, 1, 256)
	within(l, "archive.per_host", a.PerHost, 1, 256)
	within(l, "archive.max_size", a.MaxSize, 1<<10, 5<<30)
	within(l, "archive.first_try_after", a.FirstTryAfter, 0, time.Hour)
	within(l, "archive.give_up_after", a.GiveUpAfter, time.Second,
		90*24*time.Hour)
	if a.GiveUpAfter <= a.FirstTryAfter {
		l.fault("archive.give_up_after",
			"must be longer than archive.first_try_after (%s)", a.FirstTryAfter)
	}
}
