package filter_test

import (
	"errors"
	"strings"
	"testing"

	"transom/filter"
)

// TestGrammar: what mitmproxy reads is read as the same.
func TestGrammar(t *testing.T) {
	for text, want := range map[string]string{
		// Precedence: !, &, |, and then operands side by side.
		`~u a | ~u b ~c 200`:      `(~u a | ~u b) & ~c 200`,
		`~u a ~u b | ~c 200`:      `~u a & (~u b | ~c 200)`,
		`a | b & c`:               `~u a | ~u b & ~u c`,
		`a & b | c & d`:           `~u a & ~u b | ~u c & ~u d`,
		`!a & b`:                  `!~u a & ~u b`,
		`a & b c`:                 `(~u a & ~u b) & ~u c`,
		`!~q &!~s |a`:             `!~q & !~s | ~u a`,
		`!(~q | ~s )`:             `!(~q | ~s )`,
		`!!~q `:                   `!!~q`,
		`(a) b`:                   `~u a & ~u b`,
		`!(a)b`:                   `!~u a & ~u b`,
		"~q\n~s":                  `~q & ~s`,
		`~c 200|~c 404`:           `~c 200 | ~c 404`,
		`(~c 200)`:                `~c 200`,
		`((~q ))`:                 `~q`,
		`~http |~tcp`:             `~http | ~tcp`,
		`~dst x & !~src y`:        `~dst x & !~src y`,
		`~q & ~s & ~e`:            `~q & ~s & ~e`,
		`~c 99999999999999999999`: `~c 99999999999999999999`,
		`~c 200x`:                 `~c 200 & ~u x`,
		`~c 2..`:                  `~c 2 & ~u ..`,
		`~c 4xx`:                  `~c 4 & ~u xx`,
		// Bare words run up to white space or one of ( ) ~ ' ".
		`foo|bar`:         `~u foo|bar`,
		`a&b c`:           `~u a&b & ~u c`,
		`a!b`:             `~u a!b`,
		`~u foo|~u bar`:   `~u foo| & ~u bar`,
		`~u /api/(a|b)`:   `~u /api/ & ~u a|b`,
		`& ~q`:            `~u & & ~q`,
		`~q &`:            `~q & ~u &`,
		`~q & | ~s`:       `(~q & ~u |) & ~s`,
		`a && b`:          `(~u a & ~u &) & ~u b`,
		`!`:               `~u !`,
		`~q !`:            `~q & ~u !`,
		`~u !x`:           `~u !x`,
		`!foo`:            `!~u foo`,
		"~d\u00a0x | ~qé": "",
		"~q é":            `~q & ~u é`,
		"~qé":             `~q & ~u é`,
		`~m  GET`:         `~m GET`,
		"a\fb":            "~u \"a\\fb\"",
		// In quotes a backslash is gone.
		`~u a\.b`:       `~u a\.b`,
		`~u "a\.b"`:     `~u a.b`,
		`'\d+'`:         `~u d+`,
		`"\\d"`:         `~u \d`,
		`'a\'b'`:        `~u "a'b"`,
		`"a"|"b"`:       `~u a | ~u b`,
		`"a"b`:          `~u a & ~u b`,
		`a'b'`:          `~u a & ~u b`,
		`~u 'a\nb'`:     `~u "a\nb"`,
		"~u 'a\tb'":     `~u "a   b"`,
		`~b ""`:         `~b ""`,
		`"!a"`:          `~u !a`,
		`~h "(?P<n>a)"`: `~h "(?P<n>a)"`,
	} {
		if want == "" {
			continue
		}
		f, err := filter.Parse(text, filter.Options{})
		if err != nil {
			t.Errorf("%s: %v", text, err)
			continue
		}
		if got := f.String(); got != want {
			t.Errorf("%s is %s, want %s", text, got, want)
		}
		again(t, f)
	}
}

// again: what String says is read as the same.
func again(t *testing.T, f *filter.Filter) {
	t.Helper()
	back, err := filter.Parse(f.String(), filter.Options{})
	if err != nil || back.String() != f.String() || back.Describe() != f.Describe() {
		t.Errorf("%s is read as %v, %v", f, back, err)
	}
}

// TestMore: of what mitmproxy refuses, some means something here.
func TestMore(t *testing.T) {
	for text, want := range map[string]string{
		`(~q)`: `~q`, `~q~s`: `~q & ~s`, `~http|~tcp`: `~http | ~tcp`, `!(~q | ~s)`: `!(~q | ~s )`, `~q&~s`: `~q & ~s`,
		`((~u a | ~u b) ~c 200)`: `(~u a | ~u b) & ~c 200`, `~c200`: `~c 200`, `~u"x"`: `~u x`, `a | (b c)`: `~u a | ~u b & ~u c`,
		`~status 4xx,500-599`: `~status 4xx,500-599`, `~duration ">1s" & ~c 200`: `~duration >1s & ~c 200`, `(~c 4xx)`: `~c 4 & ~u xx`,
		`~tls <1.2 | ~sni 'example\.com'`: `~tls <1.2 | ~sni example.com`,
	} {
		f, err := filter.Parse(text, filter.Options{})
		if err != nil {
			t.Errorf("%s: %v", text, err)
			continue
		}
		if got := f.String(); got != want {
			t.Errorf("%s is %s, want %s", text, got, want)
		}
		again(t, f)
	}
}

func TestErrors(t *testing.T) {
	for text, want := range map[string]struct {
		column int
		says   string
	}{
		"":                             {1, "~all matches everything"},
		" \n":                          {1, "~all matches everything"},
		`~Q`:                           {1, "small letters: ~q"},
		`~c -1`:                        {4, "wants a number, as in ~c 404"},
		`~foo x`:                       {1, "there is no operator ~foo"},
		`~web`:                         {1, "there is ~websocket"},
		`~u (?!a)`:                     {4, `quote one that has parentheses: ~u "…"`},
		`~u`:                           {3, "as in ~u /api/"},
		`~u "a`:                        {4, `another " is missing`},
		"~u 'a\nb'":                    {6, `write \n`},
		`~u [a`:                        {4, "a ] is missing for this ["},
		`~u "ab(c"`:                    {7, "a ) is missing for this ("},
		`~u é[`:                        {5, "a ] is missing"},
		`~b é[`:                        {5, "a ] is missing"},
		`(~q | ~s`:                     {9, "a ) is missing here"},
		`~q )`:                         {4, "this ) has no ("},
		`()`:                           {2, "want an operator"},
		`~status abc`:                  {9, "want 404, 4xx"},
		`~srcnet 1.2.3`:                {9, "want 192.168.7.0/24"},
		`~duration 5`:                  {11, "want >1s"},
		`~tls >=2`:                     {6, "want 1.0, 1.1, 1.2 or 1.3"},
		`~size >1x`:                    {7, "units are k, m and g"},
		`~size 2k-1k`:                  {7, "2k is more than 1k"},
		`~since yesterday`:             {8, "no time"},
		strings.Repeat("(", 500) + "a": {101, "nested too deeply"},
		strings.Repeat("!", 500) + "a": {101, "nested too deeply"},
	} {
		_, err := filter.Parse(text, filter.Options{})
		var e *filter.Error
		if !errors.As(err, &e) || e.Column != want.column || !strings.Contains(e.Reason, want.says) {
			t.Errorf("%.20s: %v; want column %d: %s", text, err, want.column, want.says)
		}
	}
}

func TestErrorPoints(t *testing.T) {
	_, err := filter.Parse("~d a & ~u\t[b", filter.Options{})
	const want = "filter, column 17: no regular expression: a ] is missing for this [\n" +
		"    ~d a & ~u       [b\n" +
		"                    ^"
	if err == nil || err.Error() != want {
		t.Errorf("%v, want\n%s", err, want)
	}
}

func TestDescribe(t *testing.T) {
	for text, want := range map[string]string{
		`foo ~c 200`:               "url matches /foo/i and response code is 200",
		`!(~q | ~s ) & ~d b`:       "not (has no response or has a response) and domain matches /b/i",
		`~duration >1s | ~tls 1.3`: "duration is >1s or TLS version is 1.3",
	} {
		f, err := filter.Parse(text, filter.Options{})
		if err != nil || f.Describe() != want {
			t.Errorf("%s: %v, want %s", text, f.Describe(), want)
		}
	}
	f, err := filter.Parse("~u a ~m b", filter.Options{CaseSensitive: true})
	if err != nil || f.Describe() != "url matches /a/ and method matches /b/i" {
		t.Errorf("%v, %v", f.Describe(), err)
	}
}

func FuzzParse(f *testing.F) {
	for _, s := range []string{
		`~u a | ~u b ~c 200`, `!(~q | ~s)`, `~b "\\d\"" & 'x\n'`, `~c 4xx`, `& ~q`, `~status 4xx,>=500 ~since 2026-01-01`, "a\tb", `~srcnet ::1/8,10.0.0.0/8`,
		`!!!(`, `~q & & | ~s`, `~tls <1.2 ~size 1k-2.5m`, `a(b)c`, `~d é[`,
	} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) {
		if len(text) > 500 {
			return
		}
		x, err := filter.Parse(text, filter.Options{})
		var e *filter.Error
		switch {
		case err == nil:
			again(t, x)
		case !errors.As(err, &e) || e.Column < 1 || e.Column > len([]rune(e.Text))+1:
			t.Errorf("%q: %v", text, err)
		}
	})
}
