package reports

import (
	"crypto/sha256"
	"fmt"
	"slices"
	"strings"

	"callvault/internal/call"
)

// Part is what some recipients of a report see of it: the calls that their
// match covers, too. It is a report of its own, with its own frozen input: who
// called back, who called once and how it was in earlier periods cannot be told
// from the rows of the whole.
type Part struct {
	// Match narrows the report's.
	Match call.Filter
	// Recipients are mail addresses.
	Recipients []string
}

// String says in words which calls of the report it is of.
func (p Part) String() string {
	match, err := narrow(call.Filter{}, p.Match) // all are of no particular group
	if err != nil {
		match = p.Match
	}
	return describe(&match)
}

// part is the report that a part of it is. A match that contradicts the
// report's is an error: it must never show more.
func (r *Report) part(p Part) (Report, error) {
	of := *r
	of.Parts, of.Recipients = nil, p.Recipients
	of.Name, of.whole = PartName(r.Name, p.Match), r.Name
	match, err := narrow(r.Match, p.Match)
	if err != nil {
		return of, fmt.Errorf("report %s: recipients %s: %w", r.Name, strings.Join(p.Recipients, ", "), err)
	}
	of.Match = match
	return of, nil
}

// PartName is the name of the part of a report for a match: the report's, a
// point, which no report's own name has, what can be read of the match, and a
// hash of it.
func PartName(report string, match call.Filter) string {
	words := describe(&match)
	sum := sha256.Sum256([]byte(words))
	slug := strings.Map(func(r rune) rune {
		switch {
		case r >= 'a' && r <= 'z', r >= '0' && r <= '9':
			return r
		}
		return '-'
	}, strings.ToLower(strings.Join(matched(&match), "-")))
	slug = strings.Join(strings.FieldsFunc(slug, func(r rune) bool { return r == '-' }), "-")
	const longest = 30
	slug = strings.Trim(slug[:min(len(slug), longest)], "-")
	if slug != "" {
		slug += "-"
	}
	return fmt.Sprintf("%s.%s%x", report, slug, sum[:4])
}

// matched are the values of a filter.
func matched(f *call.Filter) []string {
	values := []string{f.Account, string(f.Direction), f.Group}
	return append(append(values, f.Groups...), f.Agent, f.Number, f.Campaign)
}

// narrow selects the calls that both filters select.
func narrow(f, by call.Filter) (call.Filter, error) {
	for _, field := range []struct {
		name string
		of   *string
		by   string
	}{
		{"account", &f.Account, by.Account}, {"direction", (*string)(&f.Direction), string(by.Direction)},
		{"agent", &f.Agent, by.Agent}, {"number", &f.Number, by.Number}, {"campaign", &f.Campaign, by.Campaign},
	} {
		switch {
		case field.by == "":
		case *field.of != "" && *field.of != field.by:
			return f, fmt.Errorf("the report is of %s %q, so nothing of it is of %q", field.name, *field.of, field.by)
		default:
			*field.of = field.by
		}
	}
	groups := by.Groups
	if by.Group != "" {
		groups = []string{by.Group}
	}
	switch {
	case len(groups) == 0:
	case f.Group != "" && !slices.Contains(groups, f.Group):
		return f, fmt.Errorf("the report is of group %q, so nothing of it is of %q", f.Group, groups)
	case f.Group != "":
	case len(groups) == 1:
		f.Group = groups[0]
	default:
		f.Groups = groups
	}
	return f, nil
}

// name is what people call the report.
func (s *Settings) name() string {
	if s.Whole == "" {
		return s.Report
	}
	return s.Whole + " (" + s.Match + ")"
}

// partsOf are the names of a report and of its parts.
func (r *Reporter) partsOf(name string) []string {
	names := []string{name}
	for i := range r.reports {
		if r.reports[i].whole == name {
			names = append(names, r.reports[i].Name)
		}
	}
	return names
}
