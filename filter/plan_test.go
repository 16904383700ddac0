package filter_test

import (
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"transom/filter"
	"transom/flow"
	"transom/internal/testnet/traffic"
)

// TestPlanAgrees: what a plan answers is what Match returns.
func TestPlanAgrees(t *testing.T) {
	sure := 0
	rapid.Check(t, func(t *rapid.T) {
		bodies := &traffic.Bodies{}
		text := traffic.Question(t)
		x, err := filter.Parse(text, filter.Options{CaseSensitive: rapid.Bool().Draw(t, "sensitive")})
		if err != nil {
			t.Fatalf("%s: %v", text, err)
		}
		plan := x.Plan()
		var facts filter.Facts
		for range 20 {
			f := traffic.Flow(t, bodies)
			facts.Gather(f)
			said := plan.Decide(&facts)
			if said == filter.Maybe {
				continue
			}
			sure++
			if is, err := x.Match(t.Context(), f, bodies); is != (said == filter.Yes) {
				t.Fatalf("%s: the plan says %v, Match %v, %v\n%+v\n%+v", text, said, is, err, f, f.Detail)
			}
		}
	})
	if sure == 0 {
		t.Error("no plan has answered anything")
	}
}

// TestPlanLeavesOpen: what can't be said in a number is left open.
func TestPlanLeavesOpen(t *testing.T) {
	var facts filter.Facts
	facts.Gather(&flow.Flow{})
	for text, want := range map[string]filter.Answer{
		"~since 2026-01-31": filter.Maybe, "~h .": filter.Maybe, "~b .": filter.No, "~words a": filter.No, "~duration >=0s": filter.No, "~all": filter.Yes,
		"!(~h . | ~all)": filter.Maybe, "~h . | ~all": filter.Yes, "~h . & ~dns": filter.No,
	} {
		x, err := filter.Parse(text, filter.Options{})
		if err != nil {
			t.Fatal(err)
		}
		if got := x.Plan().Decide(&facts); got != want {
			t.Errorf("%s: %v, want %v", text, got, want)
		}
	}
}

// TestPlanLiteral: what has to be there is there, and nothing else is asked for.
func TestPlanLiteral(t *testing.T) {
	for text, want := range map[string]string{
		"~u foo": "foo", `~u "a\\.example$"`: "a.example", "~u ^/api/.*id=1.2": "/api/ id=1 2", `~u "a|b"`: "", "~u ab*": "", "~u ab?c": "", `~u "\\dab"`: "ab", "~u straße": "stra",
		"~u [ab]cd": "cd", "~u abc{2}": "abc", `~u "(?i:abc)"`: "abc",
	} {
		x, err := filter.Parse(text, filter.Options{})
		if err != nil {
			t.Fatal(err)
		}
		if got := strings.Join(x.Plan().Literals, " "); got != want {
			t.Errorf("%s: %q, want %q", text, got, want)
		}
	}
}

// TestGatherAllocates: facts are gathered for each flow that is recorded. A name that
// is an address has to be written.
func TestGatherAllocates(t *testing.T) {
	var facts filter.Facts
	for name, f := range flows(&kept{}) {
		if n := testing.AllocsPerRun(100, func() { facts.Gather(f) }); n != 0 && !racing && (n > 1 || name != "conn") {
			t.Errorf("%s: %v allocations, want 0", name, n)
		}
	}
}

// TestWords: what a word is.
func TestWords(t *testing.T) {
	for text, want := range map[string][]string{
		"user_id: 42": {"user", "id", "42"}, "Straße ÉTÉ": {"straße", "été"}, "a\xffb": {"a", "b"}, "x\x00y": nil, "日本 語": {"日本", "語"}, "": nil,
	} {
		var got []string
		for w := range filter.Words([]byte(text)) {
			got = append(got, string(w))
		}
		if len(got) != len(want) {
			t.Errorf("%q has %q", text, got)
			continue
		}
		for i := range want {
			if got[i] != want[i] {
				t.Errorf("%q has %q", text, got)
			}
		}
	}
}

func BenchmarkGather(b *testing.B) {
	f := flows(&kept{})["http"]
	f.Start = time.Now()
	var facts filter.Facts
	b.ReportAllocs()
	for b.Loop() {
		facts.Gather(f)
	}
}
