package config

// Export is how bundles of calls are handed out.
type Export struct {
	// Keep is how long a bundle that was asked for by the API is kept for
	// downloading, 1d to 1y. Default 7d. Danger: as long as it is kept, its
	// calls lie in the vault once more, whatever retention and erasure do.
	Keep Term `yaml:"keep"`
}

func (e *Export) check(l *loader) {
	if e.Keep.IsForever() || (Term{Years: 1}).CanEndBefore(e.Keep) {
		l.fault("export.keep", "must be from 1d to 1y")
	}
}
