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
		if want && strings.IndexFunc(subject, func(r rune) bool { return r >= 0x80 }) < 0 {
			if l := lacks(plain, p.Literals()); l != "" {
				t.Errorf("%q is found in %q, which has no %q", text, subject, l)
			}
		}
	})
}

// lacks returns which of some texts does not follow the others, "" if they all do.
func lacks(s string, texts []string) string {
	for _, l := range texts {
		_, rest, ok := strings.Cut(s, strings.ToLower(l))
		if !ok {
			return l
		}
		s = rest
	}
	return ""
}

// TestLiteralOfAny compares what is required by patterns of all kinds with matching them.
func TestLiteralOfAny(t *testing.T) {
	items := []string{"ab", "Ka", "s", "k", "[ab]", "[^b]", "[k]", ".", ".*", "^", "$", `\\b`, `\w`, `\d`, "a|b", "ab|ac", "(ab)+", "(?:ab)*", "(a|b)", "(?:ab){2}", "(ab){0,2}", "a?", "b+?", "é", "(?i:aB)", "(?-i:aB)", `\x61`, `\xe9`, "(?=ab)", "(?!b)"}
	subjects := []string{"a", "b", "A", "B", "ab", "ac", "k", "K", "s", "S", "é", "É", "\xe9", "\n", " ", "1"}
	required := 0
	rapid.Check(t, func(t *rapid.T) {
		text := strings.Join(rapid.SliceOfN(rapid.SampledFrom(items), 1, 6).Draw(t, "pattern"), "")
		subject := strings.Join(rapid.SliceOfN(rapid.SampledFrom(subjects), 0, 8).Draw(t, "subject"), "")
		o := pattern.Options{IgnoreCase: rapid.Bool().Draw(t, "ignore case"), Bytes: rapid.Bool().Draw(t, "bytes"), Multiline: rapid.Bool().Draw(t, "multiline")}
		p, err := pattern.Compile(text, o)
		if err != nil {
			return // anchors, groups and the like can't be repeated
		}
		q, err := pattern.Compile(text+"(?!\x00)", o) // of which nothing is seen, and which backtracks
		if err != nil {
			t.Fatal(err)
		}
		if q.Literals() != nil {
			t.Fatalf("%q has %q", q, q.Literals())
		}
		want, err1 := q.MatchString(subject)
		got, err2 := p.MatchString(subject)
		same, err3 := p.Match([]byte(subject))
		if got != want || same != want || err1 != nil || err2 != nil || err3 != nil {
			t.Errorf("%q %+v in %q: %v, as bytes %v; want %v (%v, %v, %v)", text, o, subject, got, same, want, err1, err2, err3)
		}
		required += len(p.Literals())
		if plain := strings.IndexFunc(subject, func(r rune) bool { return r >= 0x80 }) < 0; want && (plain || o.Bytes) {
			if l := lacks(lower(subject), p.Literals()); l != "" {
				t.Errorf("%q is found in %q, which has no %q", text, subject, l)
			}
		}
	})
	if required == 0 {
		t.Error("no pattern has required anything")
	}
}

// lower makes small letters of ASCII alone.
func lower(s string) string {
	return strings.Map(func(r rune) rune {
		if 'A' <= r && r <= 'Z' {
			return r | 0x20
		}
		return r
	}, s)
}

func TestLiteralIs(t *testing.T) {
	for _, c := range []struct {
		pattern, want string // with a bar between them
		bytes         bool
	}{
		{`abc`, "abc", false},
		{`^/api/v1/.*id=42&$`, "/api/v1/|id=42&", false},
		{`a\.example\.com`, "a.example.com", false},
		{`ab?`, "", false},
		{`a|bc`, "", false},
		{`\bword`, "word", false},
		{`id=(?:4242|4243)&`, "id=424", false},
		{`v1/[a-z]+/zzz+`, "v1/|/zzz", false},
		{`(foo){2}bar(?:baz)?`, "foo|bar", false},
		{`x1(?!y)`, "", false},
		{`abé*cd`, "ab|cd", false},
		{"[ab]\u017fx", "sx", false},
		{`x.é`, "", false},
		{`x.éa`, "x|éa", true},
	} {
		p, err := pattern.Compile(c.pattern, pattern.Options{Bytes: c.bytes, IgnoreCase: true})
		if err != nil {
			t.Fatal(err)
		}
		if got := strings.Join(p.Literals(), "|"); got != c.want {
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
