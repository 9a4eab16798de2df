package mapping

import (
	"net/url"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestParsePath(t *testing.T) {
	t.Parallel()
	for text, want := range map[string][]string{
		"a": {"a"}, "/a": {"a"}, "/": {""}, "/a/0/b": {"a", "0", "b"}, "/a~1b/~0": {"a/b", "~"}, "/~01": {"~1"}, "a b": {"a b"}, "?q": {"q"},
	} {
		p, err := ParsePath(text)
		if err != nil {
			t.Errorf("%s: %v", text, err)
			continue
		}
		if diff := cmp.Diff(want, p.Tokens()); diff != "" || p.IsQuery() != (text[0] == '?') || p.String() != text {
			t.Errorf("%s (-want +got):\n%s", text, diff)
		}
	}
	for _, text := range []string{"", " ", "?", "/a~", "/a~2", "{", "a}", "{}", "{a{b}}", "{a}}", strings.Repeat("/a", 40)} {
		if p, err := ParsePath(text); err == nil {
			t.Errorf("%q is taken for %v", text, p.Tokens())
		}
	}
}

// FuzzExpandURL: whatever a report says, a template leads to its host and path,
// and each value stays in its place.
func FuzzExpandURL(f *testing.F) {
	f.Add("RE1", "x")
	f.Add("../..", "a&b=c")
	f.Add("//evil.example", "#")
	f.Add("a\\b\x00", "%zz")
	f.Fuzz(func(t *testing.T, a, b string) {
		p, err := ParsePath("https://example.org/audio/{a}/x.mp3?of={b}&format=mp3")
		if err != nil {
			t.Fatal(err)
		}
		got := p.ExpandURL(func(p Path) string { return map[string]string{"a": a, "b": b}[p.String()] })
		if a == "" || b == "" || a == "." || a == ".." {
			if got != "" {
				t.Errorf("%q without one of its fields", got)
			}
			return
		}
		u, err := url.Parse(got)
		if err != nil {
			t.Fatal(err)
		}
		query, err := url.ParseQuery(u.RawQuery)
		if err != nil || u.Host != "example.org" || u.Path != "/audio/"+a+"/x.mp3" || strings.Count(u.EscapedPath(), "/") != 3 ||
			len(query) != 2 || query.Get("of") != b || query.Get("format") != "mp3" || u.Fragment != "" {
			t.Errorf("%q and %q become %s", a, b, got)
		}
	})
}

func TestWords(t *testing.T) {
	t.Parallel()
	w := Words{"Answered", "no-*", "*"}[:2]
	for word, want := range map[string]bool{"answered": true, "ANSWERED": true, "No-Answer": true, "no": false, "answered2": false, "": false} {
		if w.Has(word) != want {
			t.Errorf("%q: %t", word, !want)
		}
	}
}
