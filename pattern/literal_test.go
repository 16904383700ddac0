package pattern_test

import (
	"regexp"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"transom/pattern"
)

// TestLiteral compares what is seen of a pattern with matching it.
func TestLiteral(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		text := strings.Join(rapid.SliceOfN(rapid.SampledFrom([]string{"a", "B", "k", "K", "[", "_", `\.`, `\[`, ".", ".*", "^", "é"}), 1, 5).Draw(t, "pattern"), "")
		text = strings.ReplaceAll(text, "[", `\[`)
		text = strings.ReplaceAll(text, `\\[`, `\[`)
		subject := strings.Join(rapid.SliceOfN(rapid.SampledFrom([]string{"a", "A", "b", "B", "k", "\u212a", "[", "{", "_", ".", "é", "É", " "}), 0, 8).Draw(t, "subject"), "")
		flags, o := "", pattern.Options{IgnoreCase: rapid.Bool().Draw(t, "ignore case")}
		if o.IgnoreCase {
			flags = "(?i)"
		}
		p, err := pattern.Compile(text, o)
		if err != nil {
			t.Fatal(err)
		}
		want := regexp.MustCompile(flags + text).MatchString(subject)
		if got, err := p.MatchString(subject); got != want || err != nil {
			t.Errorf("%q in %q: %v, %v; want %v", text, subject, got, err, want)
		}
		if got, err := p.Match([]byte(subject)); got != want || err != nil {
			t.Errorf("%q in bytes %q: %v, %v; want %v", text, subject, got, err, want)
		}
		plain := strings.ToLower(subject)
		if l := p.Literal(); want && strings.IndexFunc(subject, func(r rune) bool { return r >= 0x80 }) < 0 && !strings.Contains(plain, strings.ToLower(l)) {
			t.Errorf("%q is found in %q, which has no %q", text, subject, l)
		}
	})
}

func TestLiteralIs(t *testing.T) {
	for _, c := range []struct {
		pattern, want string
		bytes         bool
	}{
		{`abc`, "abc", false},
		{`^/api/v1/.*id=42&$`, "/api/v1/", false},
		{`a\.example\.com`, "a.example.com", false},
		{`ab?`, "", false},
		{`a|bc`, "", false},
		{`\bword`, "", false},
		{`x.é`, "", false},
		{`x.éa`, "éa", true},
	} {
		p, err := pattern.Compile(c.pattern, pattern.Options{Bytes: c.bytes, IgnoreCase: true})
		if err != nil {
			t.Fatal(err)
		}
		if got := p.Literal(); got != c.want {
			t.Errorf("%q: %q, want %q", c.pattern, got, c.want)
		}
	}
}

// BenchmarkLiteral looks for what is not there.
func BenchmarkLiteral(b *testing.B) {
	body := []byte(strings.Repeat(`{"name": 12345, "other": "some text of a kind"}`+"\n", 64))
	for _, text := range []string{"nosuchtext", "some.*nosuchtext", "(nosuchtext)"} {
		p, err := pattern.Compile(text, pattern.Options{Bytes: true, IgnoreCase: true})
		if err != nil {
			b.Fatal(err)
		}
		b.Run(text, func(b *testing.B) {
			b.SetBytes(int64(len(body)))
			b.ReportAllocs()
			for b.Loop() {
				if found, err := p.Match(body); found || err != nil {
					b.Fatal(found, err)
				}
			}
		})
	}
}
