package steer

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"log/slog"
	"os"
	"strings"
	"testing"

	"transom/platform"
)

// An ipfwBSD is a FreeBSD that has ipfw.
type ipfwBSD struct {
	*bsd
	sets     map[string][][2]string // numbers and rules
	disabled map[string]bool
	absent   bool
	id       int
}

func newIPFWBSD() *ipfwBSD {
	b := &ipfwBSD{bsd: newBSD("freebsd"), sets: map[string][][2]string{}, disabled: map[string]bool{}, id: 4711}
	b.settings["net.inet.ip.fw.enable"] = "1"
	return b
}

func (b *ipfwBSD) pid() int { return b.id }

func (b *ipfwBSD) run(ctx context.Context, stdin string, argv ...string) (string, error) {
	words := strings.Join(argv, " ")
	if argv[0] != "ipfw" {
		if b.absent && strings.HasSuffix(words, "fw.enable") {
			return "sysctl: unknown oid\n", errors.New("exit status 1")
		}
		return b.bsd.run(ctx, stdin, argv...)
	}
	fmt.Fprintf(&b.text, "$ %s\n", words)
	if b.each != nil {
		defer b.each()
	}
	if b.fail != "" && strings.Contains(words, b.fail) {
		return "it is broken\n", errors.New("exit status 71")
	}
	switch {
	case strings.HasPrefix(words, "ipfw -q set disable "):
		b.disabled[argv[4]] = true
	case strings.HasPrefix(words, "ipfw -q set enable "):
		delete(b.disabled, argv[4])
	case strings.HasPrefix(words, "ipfw -q set swap "):
		b.swap(argv[4], argv[5])
	case strings.HasPrefix(words, "ipfw -S set "):
		return b.list(argv[3]), nil
	case strings.HasPrefix(words, "ipfw -q delete set "):
		if b.sets[argv[4]] == nil {
			return "ipfw: rule 0 not found\n", errors.New("exit status 69")
		}
		delete(b.sets, argv[4])
	case strings.HasPrefix(words, "ipfw -q add "):
		rule := strings.Join(argv[6:], " ")
		if _, comment, _ := strings.Cut(rule, "// "); len(comment) > 80 {
			return "ipfw: comment too long (max 80 chars)\n", errors.New("exit status 65")
		}
		b.sets[argv[5]] = append(b.sets[argv[5]], [2]string{argv[3], rule})
	default:
		return "ipfw: bad command\n", errors.New("exit status 64")
	}
	return "", nil
}

// swap exchanges the rules of two sets; which of the sets is off stays as it is.
func (b *ipfwBSD) swap(x, y string) {
	b.sets[x], b.sets[y] = b.sets[y], b.sets[x]
	for _, set := range []string{x, y} {
		if b.sets[set] == nil {
			delete(b.sets, set)
		}
	}
}

func (b *ipfwBSD) list(set string) string {
	off := map[bool]string{true: "# DISABLED "}[b.disabled[set]]
	var lines []string
	for _, r := range b.sets[set] {
		lines = append(lines, fmt.Sprintf("%s%s set %s %s", off, r[0], set, r[1]))
	}
	return strings.Join(lines, "\n")
}

// brings reports whether what devices send to port 80 by em1 comes here or is refused.
func (b *ipfwBSD) brings() bool {
	for set, rules := range b.sets {
		for _, r := range rules {
			if f := strings.Fields(r[1]); !b.disabled[set] && (f[0] == "fwd" || f[0] == "reset") && strings.HasSuffix(r[1], "in recv em1") {
				return true
			}
		}
	}
	return false
}

// clean fails unless all is as it was before.
func (b *ipfwBSD) clean(t *testing.T, before string) {
	t.Helper()
	if len(b.sets) != 0 || len(b.disabled) != 0 || fmt.Sprint(b.settings) != before {
		t.Errorf("left: rules %q, disabled %v, settings %v", b.sets, b.disabled, b.settings)
	}
}

func ipfwOn(b *ipfwBSD) *ipfwSets { return newIPFWSets(slog.New(slog.DiscardHandler), b) }

// TestIPFWSets holds a whole life to a golden file. At its end the system is as it was.
func TestIPFWSets(t *testing.T) {
	b := newIPFWBSD()
	before := fmt.Sprint(b.settings)
	i := ipfwOn(b)
	if err := i.Check(t.Context(), anchored); err != nil {
		t.Fatal(err)
	}
	step := func(words string, s platform.Steering) {
		fmt.Fprintf(&b.text, "\n# %s\n", words)
		if err := i.Apply(t.Context(), s); err != nil {
			t.Fatalf("%s: %v", words, err)
		}
	}
	s := anchored
	s.Interfaces = []string{"em1"}
	step("capture", s)
	s.Draining = true
	step("drain", s)
	s.Refusing = true
	step("refuse", s)
	s.Draining, s.Refusing = false, false
	step("capture again", s)
	step("take back", platform.Steering{})
	step("again", platform.Steering{})
	b.clean(t, before)
	const golden = "testdata/anchors/ipfw.txt"
	if f := flag.Lookup("update"); f != nil && f.Value.String() == "true" {
		if err := os.WriteFile(golden, []byte(b.text.String()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(golden)
	if err != nil {
		t.Fatal(err)
	}
	if b.text.String() != string(want) {
		t.Errorf("commands are not those of %s:\n%s", golden, b.text.String())
	}
}

// TestIPFWSetsShown: what gateway adds is what steer show prints.
func TestIPFWSetsShown(t *testing.T) {
	b := newIPFWBSD()
	if err := ipfwOn(b).Apply(t.Context(), anchored); err != nil {
		t.Fatal(err)
	}
	s := anchored
	var script strings.Builder
	if err := Show(&script, s, "ipfw"); err != nil {
		t.Fatal(err)
	}
	rules := 0
	for line := range strings.Lines(b.text.String()) {
		rule, ok := strings.CutPrefix(line, "$ ")
		if !ok || !strings.Contains(rule, " add ") || strings.Contains(rule, "transom_none") {
			continue
		}
		rules++
		if rule = strings.Replace(rule, "set 28", "set 29", 1); !strings.Contains(script.String(), "\t"+rule) {
			t.Errorf("not shown: %s", rule)
		}
	}
	if rules < 8 {
		t.Errorf("only %d rules", rules)
	}
}

// TestIPFWSetsOfTheDead: what a process that was killed has left is listed, and taken
// back by who comes next; beside one that lives nobody begins.
func TestIPFWSetsOfTheDead(t *testing.T) {
	b := newIPFWBSD()
	before := fmt.Sprint(b.settings)
	b.id = 99
	if err := ipfwOn(b).Apply(t.Context(), anchored); err != nil {
		t.Fatal(err)
	}
	b.id, b.living = 4711, []int{99}
	i := ipfwOn(b)
	if lines, err := i.Leftovers(t.Context()); !errors.Is(err, ErrLiving) || len(lines) < 2 {
		t.Errorf("beside one that lives: %q, %v", lines, err)
	}
	for what, err := range map[string]error{
		"check": i.Check(t.Context(), anchored),
		"apply": i.Apply(t.Context(), anchored),
		"leave": i.Leave(t.Context()),
	} {
		if !errors.Is(err, ErrLiving) || len(b.sets) == 0 {
			t.Errorf("%s beside one that lives: %v", what, err)
		}
	}
	b.living = nil
	if lines, err := i.Cleanup(t.Context()); err != nil || lines[0] != ipfwWhat || lines[1] != "net.inet.ip.forwarding = 1 (was 0)" {
		t.Errorf("%q, %v", lines, err)
	}
	b.clean(t, before)
	if lines, err := i.Cleanup(t.Context()); err != nil || lines != nil {
		t.Errorf("again: %q, %v", lines, err)
	}
}

// TestIPFWSetsFailed: a failed Apply leaves everything as it was, whatever it failed of.
func TestIPFWSetsFailed(t *testing.T) {
	b := newIPFWBSD()
	before := fmt.Sprint(b.settings)
	for _, fail := range []string{"sysctl -n net.inet6", "transom_none", "set disable", "set swap 28 27", "set swap 28 29", "fwd 127.0.0.1", "unreach", "net.inet.ip.forwarding=1", "net.inet6.ip6.redirect=0"} {
		i := ipfwOn(b)
		b.fail = fail
		if err := i.Apply(t.Context(), anchored); err == nil {
			t.Errorf("%s failed, and Apply did not", fail)
		}
		b.fail = ""
		b.clean(t, before)
	}
	b.absent = true
	if err := ipfwOn(b).Check(t.Context(), anchored); !errors.Is(err, platform.ErrUnsupported) || !strings.Contains(err.Error(), "kldload ipfw") {
		t.Errorf("not loaded: %v", err)
	}
	if lines, err := ipfwOn(b).Cleanup(t.Context()); err != nil || lines != nil {
		t.Errorf("not loaded: %q, %v", lines, err)
	}
}

// TestIPFWSetsClosed: who leaves unasked leaves rules that refuse; what is flushed comes
// back before.
func TestIPFWSetsClosed(t *testing.T) {
	b := newIPFWBSD()
	before := fmt.Sprint(b.settings)
	i := ipfwOn(b)
	if err := i.Apply(t.Context(), anchored); err != nil {
		t.Fatal(err)
	}
	whole := fmt.Sprint(b.sets)
	if back, err := i.Tend(t.Context()); back != "" || err != nil {
		t.Errorf("all is there: %q, %v", back, err)
	}
	clear(b.sets)
	if back, err := i.Tend(t.Context()); back == "" || err != nil || fmt.Sprint(b.sets) != whole {
		t.Errorf("flushed: %q, %v, %q", back, err, b.sets)
	}
	if err := i.Leave(t.Context()); err != nil {
		t.Fatal(err)
	}
	if left := b.list("29"); strings.Count(left, " fwd ") != strings.Count(left, " established uid 0") || !strings.Contains(left, "reset tcp") || !strings.Contains(left, "reset6 tcp") {
		t.Errorf("left: %s", left)
	}
	if err := i.Close(); err != nil {
		t.Error(err)
	}
	b.clean(t, before)
}

// TestIPFWSetsOpen: connections that are captured stay so while it is drained or refused,
// and nothing else is brought.
func TestIPFWSetsOpen(t *testing.T) {
	b := newIPFWBSD()
	i := ipfwOn(b)
	s := anchored
	for _, state := range []platform.Steering{{}, {Draining: true}, {Draining: true, Refusing: true}} {
		s.Draining, s.Refusing = state.Draining, state.Refusing
		if err := i.Apply(t.Context(), s); err != nil {
			t.Fatal(err)
		}
		rules := b.list("29")
		fwd, open, reset := strings.Count(rules, " fwd "), strings.Count(rules, " established uid 0"), strings.Count(rules, " reset")
		first := !strings.Contains(rules, "reset") || strings.LastIndex(rules, " fwd ") < strings.Index(rules, " reset")
		if want := len(s.Interfaces) * 2; fwd != want || (open == want) != s.Draining || (reset == want) != s.Refusing || !first {
			t.Errorf("draining %v, refusing %v: %s", s.Draining, s.Refusing, rules)
		}
	}
}

// TestIPFWSetsNoGap: whatever takes the place of what, what is captured comes here or is
// refused in between, and what a dead process has left refuses until then.
func TestIPFWSetsNoGap(t *testing.T) {
	b := newIPFWBSD()
	before := fmt.Sprint(b.settings)
	b.id = 99
	s := anchored
	s.Interfaces = []string{"em1"}
	dead := ipfwOn(b)
	apply := func(i *ipfwSets, draining bool) {
		t.Helper()
		s.Draining, s.Refusing = draining, draining
		if err := i.Apply(t.Context(), s); err != nil {
			t.Fatal(err)
		}
	}
	apply(dead, false)
	b.each = func() {
		if !b.brings() || b.settings["net.inet.ip.forwarding"] != "1" {
			t.Fatalf("it may go past: %q, %v, %v", b.sets, b.disabled, b.settings)
		}
	}
	apply(dead, true)
	apply(dead, false)
	b.sets["27"] = nil
	if back, err := dead.Tend(t.Context()); back == "" || err != nil {
		t.Errorf("%q, %v", back, err)
	}
	if err := dead.Leave(t.Context()); err != nil {
		t.Fatal(err)
	}
	b.id = 4711
	b.settings["net.inet.ip.redirect"] = "2"
	i := ipfwOn(b)
	b.fail = "net.inet.ip.redirect=0"
	if err := i.Apply(t.Context(), s); err == nil {
		t.Error("a setting can't be changed, and Apply does not fail")
	}
	b.fail = ""
	apply(i, false)
	if m, ok := rememberedRule(b.list("27")); !ok || m.pid != 4711 || len(b.sets["27"]) != 1 || fmt.Sprint(m.was) != "map[fwd4:0 red4:2 red6:1]" {
		t.Errorf("remembered: %v, %v, %q", m, ok, b.sets["27"])
	}
	b.each = nil
	if err := i.Close(); err != nil {
		t.Error(err)
	}
	b.settings["net.inet.ip.redirect"] = "1"
	b.clean(t, before)
}

// TestIPFWSetsOff: rules are there while ipfw is off, and in force when it is turned on.
func TestIPFWSetsOff(t *testing.T) {
	b := newIPFWBSD()
	b.id = 99
	if err := ipfwOn(b).Apply(t.Context(), anchored); err != nil {
		t.Fatal(err)
	}
	b.id = 4711
	b.settings["net.inet.ip.fw.enable"] = "0"
	i := ipfwOn(b)
	if lines, err := i.Leftovers(t.Context()); err != nil || len(lines) < 2 {
		t.Errorf("left: %q, %v", lines, err)
	}
	if lines, err := i.Cleanup(t.Context()); err != nil || len(lines) < 2 || len(b.sets) != 0 {
		t.Errorf("cleaned up: %q, %v; left %q", lines, err, b.sets)
	}
}

// FuzzRememberedRule: comments are anybody's.
func FuzzRememberedRule(f *testing.F) {
	m := anchorMemory{pid: 1, was: map[string]string{"fwd4": "0", "red6": "1"}}
	f.Add("07890 set 27 " + strings.Join(m.rule()[6:], " "))
	f.Add("// transom pid=-1 fwd4=$(x) on=")
	f.Fuzz(func(t *testing.T, text string) {
		m, ok := rememberedRule(text)
		if !ok {
			return
		}
		rule := strings.Join(m.rule(), " ")
		if _, comment, _ := strings.Cut(rule, "// "); len(comment) > 80 {
			t.Fatalf("%q is too long for a comment", comment)
		}
		again, ok := rememberedRule(rule)
		if !ok || fmt.Sprint(again) != fmt.Sprint(m) {
			t.Fatalf("%v is read as %v", m, again)
		}
	})
}
