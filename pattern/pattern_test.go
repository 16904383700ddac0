package pattern_test

import (
	"encoding/json"
	"errors"
	"os"
	"strings"
	"testing"

	"transom/pattern"
)

// TestPython compares with what Python has found; testdata/python.py has asked it.
func TestPython(t *testing.T) {
	b, err := os.ReadFile("testdata/python.json")
	if err != nil {
		t.Fatal(err)
	}
	var golden struct {
		Subjects []string
		Cases    []struct {
			Pattern, Found string
			Bytes          bool
			Flags          int
		}
	}
	if err := json.Unmarshal(b, &golden); err != nil {
		t.Fatal(err)
	}
	for _, c := range golden.Cases {
		p, err := pattern.Compile(c.Pattern, pattern.Options{Bytes: c.Bytes, IgnoreCase: c.Flags&2 != 0, Multiline: c.Flags&8 != 0, DotAll: c.Flags&16 != 0})
		if err != nil || c.Found == "" {
			if c.Found != "" || err == nil {
				t.Errorf("%q: %v, and in Python it is one: %v", c.Pattern, err, c.Found != "")
			}
			continue
		}
		for i, s := range golden.Subjects {
			got, err := p.MatchString(s)
			same, _ := p.Match([]byte(s))
			if err != nil || got != (c.Found[i] == '1') || got != same {
				t.Errorf("%q (bytes %v, flags %d) in %q: %v, %v, as bytes %v", c.Pattern, c.Bytes, c.Flags, s, got, err, same)
			}
		}
	}
}

func TestMore(t *testing.T) {
	for _, c := range []struct {
		pattern, in string
		o           pattern.Options
		want        bool
	}{
		{`^(?!foo).*$`, "bar", pattern.Options{}, true},
		{`^(?!foo).*$`, "foobar", pattern.Options{}, false},
		{`a{1,1500}b`, "aab", pattern.Options{}, true},
		{`a++a`, "aaa", pattern.Options{}, false},
		{`(?P<x>a)(b)\2`, "abb", pattern.Options{}, true},
		{`(?x) a b # c`, "ab", pattern.Options{}, true},
		{`é.b`, "É b", pattern.Options{IgnoreCase: true}, true},
		{`é.b`, "É b", pattern.Options{IgnoreCase: true, Bytes: true}, false},
		{`^..$`, "é", pattern.Options{Bytes: true}, true},
		{`\xc3[\xa0-\xff]`, "é", pattern.Options{Bytes: true}, true},
		{`[^a]`, "a\xff", pattern.Options{Bytes: true}, true},
		{`x$`, "x\r\n", pattern.Options{Multiline: true}, false},
		{`x\r?$`, "x\r\ny", pattern.Options{Multiline: true}, true},
	} {
		p, err := pattern.Compile(c.pattern, c.o)
		if err != nil {
			t.Errorf("%s: %v", c.pattern, err)
			continue
		}
		if got, err := p.MatchString(c.in); err != nil || got != c.want {
			t.Errorf("%s in %q: %v, %v", c.pattern, c.in, got, err)
		}
	}
}

func TestErrors(t *testing.T) {
	for text, want := range map[string]string{
		`ab(c`: "a ) is missing for this ( at character 3", `a)`: "a ) without its ( at character 2", `a\pL`: `\p means nothing at character 2`,
		`[a`: "a ] is missing for this [ at character 1", `*`: "nothing to repeat at character 1", `a**`: "it is repeated already at character 3",
		`a(?i)`: "stand at its beginning", `(?<n>a)`: "(?P<name>…)", `\1`: "no such group", strings.Repeat("(", 300): "too deeply",
	} {
		_, err := pattern.Compile(text, pattern.Options{})
		var e *pattern.Error
		if !errors.As(err, &e) || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %s", text, err, want)
		}
	}
}

func TestTimeout(t *testing.T) {
	p, err := pattern.Compile(`(?!b)(a+a+)+[yz]`, pattern.Options{})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := p.MatchString(strings.Repeat("a", 60) + "!y"); !errors.Is(err, pattern.ErrTimeout) {
		t.Errorf("%v", err)
	}
}

func TestMatchAllocates(t *testing.T) {
	p, err := pattern.Compile(`example\.com$`, pattern.Options{IgnoreCase: true})
	if err != nil {
		t.Fatal(err)
	}
	in := []byte("www.example.com")
	if n := testing.AllocsPerRun(100, func() { _, _ = p.Match(in); _, _ = p.MatchString("www.example.com") }); n != 0 && !racing {
		t.Errorf("%v allocations, want 0", n)
	}
}

func FuzzCompile(f *testing.F) {
	for _, s := range []string{`a`, `(?P<n>a)(?P=n)`, `[^\W\d-]`, `(?x: a#b)`, `a{,2}+`, `\101\0\x41`, `(a)(?(1)b|c)`, `(?i)k`} {
		f.Add(s, "aba", true)
	}
	f.Fuzz(func(t *testing.T, text, in string, bytes bool) {
		if len(text) > 200 || len(in) > 200 {
			return
		}
		p, err := pattern.Compile(text, pattern.Options{Bytes: bytes})
		var e *pattern.Error
		switch {
		case err == nil:
			want, err := p.MatchString(in)
			if s := p.Scanner(); s != nil && err == nil {
				if found, known := s.Match([]byte(in)); known && found != want {
					t.Errorf("%q in %q: a scanner says %v", text, in, found)
				}
			}
		case !errors.As(err, &e) || e.Offset < 0 || e.Offset > len(text):
			t.Errorf("%q: %v", text, err)
		}
	})
}
