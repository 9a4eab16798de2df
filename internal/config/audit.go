package config

import "callvault/internal/audit"

// Audit is about the log of who did and saw what.
type Audit struct {
	// Key signs the log's heads: the text of audit.key, which the first start
	// makes in Data. Default empty: that file. Several nodes need the same one.
	// Danger: who has it can sign a log of his own making.
	Key Secret `yaml:"key"`
}

func (a *Audit) check(l *loader) {
	if a.Key == "" {
		return
	}
	if _, err := audit.ReadKey(a.Key.Reveal()); err != nil {
		l.fault("audit.key", "%v", err)
	}
}
