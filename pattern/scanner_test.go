package pattern_test

import (
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"transom/pattern"
)

// TestScanner: what a scanner knows is what MatchString says, whichever texts come before.
func TestScanner(t *testing.T) {
	items := []string{
		"ab", "Ka", "s", "k", "[ab]", "[^b]", "[k]", ".", ".*", ".+", "^", "$", `\A`, `\Z`, `\b`, `\B`, `\w`, `\W`, `\d`, `\s`, "|", "(ab)+", "(?:ab)*", "(a|b)", "(?:ab){2}", "(ab){0,2}", "a?", "b+?", "é",
		"(?i:aB)", "(?-i:aB)", "(?m:^a$)", "(?s:.)", "a{3,}", "1.*1.*1",
	}
	pieces := []string{"a", "b", "A", "B", "ab", "k", "K", "s", "S", "é", "\xff", "\n", " ", "1", "_"}
	known, all := 0, 0
	rapid.Check(t, func(t *rapid.T) {
		text := strings.Join(rapid.SliceOfN(rapid.SampledFrom(items), 1, 6).Draw(t, "pattern"), "")
		o := pattern.Options{IgnoreCase: rapid.Bool().Draw(t, "ignore case"), Bytes: rapid.Bool().Draw(t, "bytes"), Multiline: rapid.Bool().Draw(t, "multiline"), DotAll: rapid.Bool().Draw(t, "dot")}
		p, err := pattern.Compile(text, o)
		if err != nil {
			return // what is an anchor can't be repeated, say
		}
		s := p.Scanner()
		if s == nil {
			return
		}
		subjects := rapid.SliceOfN(rapid.SliceOfN(rapid.SampledFrom(pieces), 0, 8), 1, 12).Draw(t, "subjects")
		if rapid.Bool().Draw(t, "sorted") {
			slices.SortFunc(subjects, slices.Compare[[]string])
		}
		before := ""
		for _, parts := range subjects {
			subject := strings.Join(parts, "")
			s.Pass(rapid.IntRange(0, common(before, subject)).Draw(t, "same"))
			before = subject
			if rapid.IntRange(0, 3).Draw(t, "asked") == 0 {
				continue
			}
			all++
			found, ok := s.Match([]byte(subject))
			if !ok {
				continue
			}
			known++
			if want, err := p.MatchString(subject); found != want || err != nil {
				t.Fatalf("%q %+v in %q: %v, want %v, %v; of %q", text, o, subject, found, want, err, subjects)
			}
		}
	})
	if known < all/3 {
		t.Errorf("of %d texts %d were known", all, known)
	}
}

func common(a, b string) int {
	n := 0
	for n < len(a) && n < len(b) && a[n] == b[n] {
		n++
	}
	return n
}

// TestScannerIsBounded: of a pattern with very many states no more is known at some point.
func TestScannerIsBounded(t *testing.T) {
	p, err := pattern.Compile("(?:a|b)*a(?:a|b){14}c", pattern.Options{})
	if err != nil {
		t.Fatal(err)
	}
	s, unknown := p.Scanner(), 0
	for n := range 1 << 12 {
		text := make([]byte, 40)
		for i := range text {
			text[i] = "ab"[n*2654435761>>(i%20)&1]
		}
		s.Pass(0)
		found, known := s.Match(text)
		if want, _ := p.MatchString(string(text)); known && found != want {
			t.Fatalf("%q: %v", text, found)
		}
		if !known {
			unknown++
		}
	}
	if unknown == 0 {
		t.Error("all were known")
	}
}
