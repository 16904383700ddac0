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
	sets     map[string][]string
	disabled map[string]bool
	absent   bool
	id       int
}

func newIPFWBSD() *ipfwBSD {
	b := &ipfwBSD{bsd: newBSD("freebsd"), sets: map[string][]string{}, disabled: map[string]bool{}, id: 4711}
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
	if b.fail != "" && strings.Contains(words, b.fail) {
		return "it is broken\n", errors.New("exit status 71")
	}
	var set, number, rule string
	switch {
	case strings.HasPrefix(words, "ipfw -q set disable "):
		b.disabled[argv[4]] = true
	case strings.HasPrefix(words, "ipfw -q set enable "):
		delete(b.disabled, argv[4])
	case strings.HasPrefix(words, "ipfw -S set "):
		return strings.Join(b.sets[argv[3]], "\n"), nil
	case strings.HasPrefix(words, "ipfw -q delete set "):
		if b.sets[argv[4]] == nil {
			return "ipfw: rule 0 not found\n", errors.New("exit status 69")
		}
		delete(b.sets, argv[4])
	case strings.HasPrefix(words, "ipfw -q add "):
		number, set, rule = argv[3], argv[5], strings.Join(argv[6:], " ")
		if _, comment, _ := strings.Cut(rule, "// "); len(comment) > 80 {
			return "ipfw: comment too long (max 80 chars)\n", errors.New("exit status 65")
		}
		off := map[bool]string{true: "# DISABLED "}[b.disabled[set]]
		b.sets[set] = append(b.sets[set], fmt.Sprintf("%s%s set %s %s", off, number, set, rule))
	default:
		return "ipfw: bad command\n", errors.New("exit status 64")
	}
	return "", nil
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
		if !strings.Contains(script.String(), "\t"+rule) {
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
	for _, fail := range []string{"sysctl -n net.inet6", "transom_none", "set disable", "fwd 127.0.0.1", "unreach", "net.inet.ip.forwarding=1", "net.inet6.ip6.redirect=0"} {
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
	if left := fmt.Sprint(b.sets); strings.Contains(left, " fwd ") || !strings.Contains(left, "reset tcp") || !strings.Contains(left, "reset6 tcp") {
		t.Errorf("left: %s", left)
	}
	if err := i.Close(); err != nil {
		t.Error(err)
	}
	b.clean(t, before)
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
