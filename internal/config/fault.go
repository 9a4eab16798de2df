package config

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
)

// Fault is one thing that is wrong with the configuration, or, as a notice,
// worth knowing. It never holds a secret's value.
type Fault struct {
	// File and Line say where it was given; empty and 0 if not in the file.
	File string `json:"file,omitempty"`
	Line int    `json:"line,omitempty"`
	// Source is the variable or the flag it was given by instead.
	Source string `json:"source,omitempty"`
	// Key is the key's path, such as accounts[0].token; empty if the fault is
	// the file's.
	Key string `json:"key,omitempty"`
	// Message says what is wrong and what would be right.
	Message string `json:"message"`
}

// String is the fault on one line:
// callvault.yaml:12: accounts[0].token: must be at least 16 characters.
func (f Fault) String() string {
	var s strings.Builder
	switch {
	case f.Source != "":
		s.WriteString(f.Source + ": ")
	case f.File != "" && f.Line > 0:
		fmt.Fprintf(&s, "%s:%d: ", f.File, f.Line)
	case f.File != "":
		s.WriteString(f.File + ": ")
	}
	if f.Key != "" {
		s.WriteString(f.Key + ": ")
	}
	s.WriteString(f.Message)
	return s.String()
}

// Faults is the error of a configuration that cannot be used: all that is
// wrong with it, in the order of the file, then by variable.
type Faults []Fault

// Error is one fault a line.
func (f Faults) Error() string {
	lines := make([]string, len(f))
	for i, fault := range f {
		lines[i] = fault.String()
	}
	return strings.Join(lines, "\n")
}

func sortFaults(faults []Fault) {
	slices.SortStableFunc(faults, func(a, b Fault) int {
		return cmp.Or(
			cmp.Compare(a.Source, b.Source), // the file's have none: first
			cmp.Compare(a.File, b.File),
			cmp.Compare(a.Line, b.Line),
			cmp.Compare(a.Key, b.Key),
		)
	})
}

// didYouMean is a hint at the name most like text, or nothing if none is.
func didYouMean(text string, names []string) string {
	best, least := "", min(len(text)/3+2, 4)
	for _, name := range names {
		if d := distance(text, name); d < least {
			best, least = name, d
		}
	}
	if best == "" {
		return ""
	}
	return "; did you mean " + best + "?"
}

// distance is the Levenshtein distance of two short texts, by bytes.
func distance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			cost := diagonal
			if a[i] != b[j] {
				cost++
			}
			diagonal = row[j+1]
			row[j+1] = min(cost, row[j]+1, row[j+1]+1)
		}
	}
	return row[len(b)]
}
