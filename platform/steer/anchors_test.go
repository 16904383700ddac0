package steer

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"log/slog"
	"maps"
	"net/netip"
	"os"
	"slices"
	"strings"
	"testing"

	"transom/platform"
)

// A bsd is a system of which commands are written down. It knows what anchors have
// in them, settings and whether pf is on.
type bsd struct {
	system   string
	text     strings.Builder
	settings map[string]string
	anchors  map[string]string
	tokens   []string
	living   []int
	fail     string // commands that have it in them
	off      bool
	unnamed  bool
	main     map[string]string // the main ruleset, if not the usual one
	each     func()            // called after each command
}

func newBSD(system string) *bsd {
	return &bsd{system: system, anchors: map[string]string{}, settings: map[string]string{
		"net.inet.ip.forwarding": "0", "net.inet6.ip6.forwarding": "1", "net.inet.ip.redirect": "1", "net.inet6.ip6.redirect": "1",
	}}
}

func (b *bsd) linkLocal(name string) (netip.Addr, bool) {
	return netip.MustParseAddr("fe80::1%" + name), name == "em1"
}
func (b *bsd) has(name string) bool { return strings.HasPrefix(name, "em") }
func (b *bsd) alive(pid int) bool   { return slices.Contains(b.living, pid) }
func (b *bsd) pid() int             { return 4711 }

func (b *bsd) run(_ context.Context, stdin string, argv ...string) (string, error) {
	words := strings.Join(argv, " ")
	fmt.Fprintf(&b.text, "$ %s\n%s", words, stdin)
	if b.each != nil {
		defer b.each()
	}
	if b.fail != "" && strings.Contains(words, b.fail) {
		return "it is broken\n", errors.New("exit status 1")
	}
	if key, value, ok := strings.Cut(argv[1], "="); argv[0] == "sysctl" && ok {
		b.settings[key] = value
		return "", nil
	}
	anchor := ""
	if i := slices.Index(argv, "-a"); i >= 0 {
		anchor = argv[i+1]
	}
	switch {
	case argv[0] == "sysctl":
		return b.settings[argv[2]] + "\n", nil
	case strings.HasSuffix(words, "-f -"):
		b.anchors[anchor] = stdin + b.persistent(anchor, stdin)
	case strings.HasSuffix(words, "-T kill"):
		name := "table <" + argv[len(argv)-3] + "> persist\n"
		if !strings.Contains(b.anchors[anchor], name) {
			return "pfctl: Table does not exist.\n", errors.New("exit status 255")
		}
		b.anchors[anchor] = strings.Replace(b.anchors[anchor], name, "", 1)
	case strings.HasSuffix(words, "-F Tables"):
		delete(b.anchors, anchor)
	case strings.HasSuffix(words, "-E"):
		b.tokens = append(b.tokens, "11072443333123952000")
		return "No ALTQ support in kernel\nALTQ related functions disabled\npf enabled\nToken : 11072443333123952000\n", nil
	case strings.Contains(words, "-X"):
		if !slices.Contains(b.tokens, argv[len(argv)-1]) {
			return "pfctl: DIOCSTOPREF: Invalid argument\n", errors.New("exit status 1")
		}
		b.tokens = slices.DeleteFunc(b.tokens, func(t string) bool { return t == argv[len(argv)-1] })
	case strings.HasSuffix(words, "-s References"):
		return "TOKENS:\nPID      Process Name                 TOKEN                     TIMESTAMP\n" + strings.Join(b.tokens, "\n"), nil
	case strings.HasSuffix(words, "-s Anchors"):
		out := "  com.apple/200.AirDrop\n"
		for name := range b.anchors {
			out += "  " + name + "\n"
		}
		return out, nil
	case strings.HasSuffix(words, "-s Tables"):
		return strings.Join(tablesOf(b.anchors[anchor]), "\n") + "\n", nil
	case strings.HasSuffix(words, "-s nat"), strings.HasSuffix(words, "-s rules"):
		switch {
		case b.main != nil:
			return b.main[argv[len(argv)-1]], nil
		case b.unnamed:
			return "", nil
		case b.system == "darwin":
			return "nat-anchor \"com.apple/*\" all\nrdr-anchor \"com.apple/*\" all\nscrub-anchor \"com.apple/*\" all fragment reassemble\nanchor \"com.apple/*\" all\n", nil
		}
		return "rdr-anchor \"transom\" all\nanchor \"transom\" all\n", nil
	case strings.HasSuffix(words, "-s info"):
		if b.off {
			return "Status: Disabled\n", nil
		}
		return "Status: Enabled for 0 days 00:10:00\n", nil
	}
	return "", nil
}

// persistent are the tables that outlive a load which has none of their names.
func (b *bsd) persistent(anchor, loaded string) (kept string) {
	for line := range strings.Lines(b.anchors[anchor]) {
		if strings.HasSuffix(line, "> persist\n") && !strings.Contains(loaded, line) {
			kept += line
		}
	}
	return kept
}

var anchored = platform.Steering{
	Method: platform.Redirect, Port: 8080, Interfaces: []string{"em1", "em2"},
	From:    []netip.Prefix{netip.MustParsePrefix("192.168.1.0/24"), netip.MustParsePrefix("fd01::/64")},
	Exclude: []netip.Prefix{netip.MustParsePrefix("192.168.1.7/32")},
	Ports:   []platform.PortRange{{First: 80, Last: 80}, {First: 8000, Last: 8010}}, RejectQUIC: true, Closed: true,
}

func onBSD(t *testing.T, f func(t *testing.T, b *bsd)) {
	for _, system := range []string{"darwin", "freebsd", "openbsd"} {
		t.Run(system, func(t *testing.T) { f(t, newBSD(system)) })
	}
}

// TestAnchors holds a whole life to golden files: all commands, and what they are
// given. At its end the system is as it was.
func TestAnchors(t *testing.T) {
	onBSD(t, func(t *testing.T, b *bsd) {
		before := fmt.Sprint(b.settings)
		p := pfOn(t, b)
		step := func(words string, s platform.Steering) {
			fmt.Fprintf(&b.text, "\n# %s\n", words)
			if err := p.Apply(t.Context(), s); err != nil {
				t.Fatalf("%s: %v", words, err)
			}
		}
		s := anchored
		step("capture", s)
		s.Draining = true
		step("drain", s)
		s.Refusing = true
		step("refuse", s)
		step("take back", platform.Steering{})
		step("again", platform.Steering{})
		if len(b.anchors) != 0 || len(b.tokens) != 0 || fmt.Sprint(b.settings) != before {
			t.Errorf("left: anchors %q, tokens %q, settings %v", b.anchors, b.tokens, b.settings)
		}
		golden := "testdata/anchors/" + b.system + ".txt"
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
	})
}

func pfOn(t *testing.T, b *bsd) *pfAnchor {
	t.Helper()
	p := newPFAnchor(b.system, slog.New(slog.DiscardHandler), b)
	if err := p.reap(t.Context()); err != nil {
		t.Fatal(err)
	}
	return p
}

// TestAnchorsOfTheDead: who is opened takes back what a process that was killed has
// left, and refuses to go beside one that lives.
func TestAnchorsOfTheDead(t *testing.T) {
	onBSD(t, func(t *testing.T, b *bsd) {
		before := fmt.Sprint(b.settings)
		dead := &otherPID{b}
		p := newPFAnchor(b.system, slog.New(slog.DiscardHandler), dead)
		if err := p.Apply(t.Context(), anchored); err != nil {
			t.Fatal(err)
		}
		b.living = []int{99}
		if err := newPFAnchor(b.system, slog.New(slog.DiscardHandler), b).reap(t.Context()); !errors.Is(err, ErrLiving) || !strings.Contains(err.Error(), "process 99") {
			t.Errorf("beside one that lives: %v", err)
		}
		b.living = nil
		pfOn(t, b)
		if len(b.anchors) != 0 || len(b.tokens) != 0 || fmt.Sprint(b.settings) != before {
			t.Errorf("left: anchors %q, tokens %q, settings %v", b.anchors, b.tokens, b.settings)
		}
	})
}

// TestAnchorsTakenOver: what a dead process has left goes on to refuse, and the host to
// forward, until this one's rules are in its place; all of it is taken back in the end.
func TestAnchorsTakenOver(t *testing.T) {
	for words, state := range map[string]platform.Steering{"capture": {}, "refuse": {Draining: true, Refusing: true}} {
		t.Run(words, func(t *testing.T) { onBSD(t, func(t *testing.T, b *bsd) { takeOver(t, b, state) }) })
	}
}

func takeOver(t *testing.T, b *bsd, state platform.Steering) {
	before := fmt.Sprint(b.settings)
	dead := newPFAnchor(b.system, slog.New(slog.DiscardHandler), &otherPID{b})
	if err := errors.Join(dead.Apply(t.Context(), anchored), dead.Leave(t.Context())); err != nil {
		t.Fatal(err)
	}
	b.settings["net.inet6.ip6.redirect"] = "2" // by somebody else, meanwhile
	b.each = func() {
		brings := func(text string) bool {
			return strings.Contains(text, " proto tcp from ") && strings.Contains(text, "on em1 ")
		}
		if !slices.ContainsFunc(slices.Collect(maps.Values(b.anchors)), brings) || b.settings["net.inet.ip.forwarding"] != "1" {
			t.Fatalf("what is captured may go past: %q, %v", b.anchors, b.settings)
		}
	}
	want := anchored
	want.Draining, want.Refusing = state.Draining, state.Refusing
	p := newPFAnchor(b.system, slog.New(slog.DiscardHandler), b)
	b.fail = "net.inet6.ip6.redirect=0"
	if err := p.Apply(t.Context(), want); err == nil {
		t.Error("a setting can't be changed, and Apply does not fail")
	}
	b.fail = ""
	if err := p.Apply(t.Context(), want); err != nil {
		t.Fatal(err)
	}
	m, ok := remembered(strings.Join(tablesOf(b.anchors[p.anchor]), "\n"))
	if text := b.anchors[p.anchor]; !ok || m.pid != b.pid() || len(m.was) != 3 || m.was["red6"] != "2" || len(b.anchors) != 1 || strings.Contains(text, "pid_99") || strings.Contains(text, "red6_1") || len(b.tokens) > 1 {
		t.Errorf("%v, %v; tokens %q, anchors %q", m, ok, b.tokens, b.anchors)
	}
	b.each = nil
	if err := p.Close(); err != nil {
		t.Fatal(err)
	}
	b.settings["net.inet6.ip6.redirect"] = "1"
	if len(b.anchors) != 0 || len(b.tokens) != 0 || fmt.Sprint(b.settings) != before {
		t.Errorf("left: anchors %q, tokens %q, settings %v", b.anchors, b.tokens, b.settings)
	}
}

func tablesOf(text string) (names []string) {
	for line := range strings.Lines(text) {
		if name, ok := strings.CutPrefix(line, "table <"); ok {
			names = append(names, name[:strings.IndexByte(name, '>')])
		}
	}
	return names
}

type otherPID struct{ *bsd }

func (otherPID) pid() int { return 99 }

// TestAnchorsFailed: a failed Apply leaves everything as it was, whatever it failed of.
func TestAnchorsFailed(t *testing.T) {
	onBSD(t, func(t *testing.T, b *bsd) {
		before := fmt.Sprint(b.settings)
		ways := []string{"-f -", "sysctl -n", "net.inet.ip.forwarding=1", "net.inet6.ip6.redirect=0"}
		if b.system == "darwin" {
			ways = append(ways, "-E", "-s nat")
		}
		for _, fail := range ways {
			p := pfOn(t, b)
			b.fail = fail
			if err := p.Apply(t.Context(), anchored); err == nil {
				t.Errorf("%s failed, and Apply did not", fail)
			}
			b.fail = ""
			if len(b.anchors) != 0 || len(b.tokens) != 0 || fmt.Sprint(b.settings) != before {
				t.Errorf("%s: left: anchors %q, tokens %q, settings %v", fail, b.anchors, b.tokens, b.settings)
			}
		}
	})
}

func TestAnchorsCheck(t *testing.T) {
	onBSD(t, func(t *testing.T, b *bsd) {
		p := pfOn(t, b)
		for name, change := range map[string]func(*platform.Steering){
			"local": func(s *platform.Steering) { s.Local = true },
			"spoof": func(s *platform.Steering) { s.Spoof = true },
		} {
			s := anchored
			change(&s)
			if err := p.Apply(t.Context(), s); !errors.Is(err, platform.ErrUnsupported) {
				t.Errorf("%s: %v", name, err)
			}
		}
		s := anchored
		s.Interfaces = []string{"em1 to any -> 1.2.3.4"}
		if err := p.Apply(t.Context(), s); err == nil {
			t.Error("an interface that is a rule")
		}
		b.unnamed = true
		if err := p.Apply(t.Context(), anchored); err == nil || !strings.Contains(err.Error(), "/etc/pf.conf") {
			t.Errorf("an anchor that nobody looks into: %v", err)
		}
		b.unnamed, b.off = false, true
		if err := p.Apply(t.Context(), anchored); (err == nil) != (b.system == "darwin") {
			t.Errorf("pf is off: %v", err)
		}
		if err := p.Close(); err != nil || len(b.anchors) != 0 {
			t.Errorf("%v, left %q", err, b.anchors)
		}
	})
}

// TestAnchorsCleanup: what a dead process has left is listed and taken back; what a
// living one has is listed, and let be; what somebody else has set meanwhile stays.
func TestAnchorsCleanup(t *testing.T) {
	onBSD(t, func(t *testing.T, b *bsd) {
		before := fmt.Sprint(b.settings)
		if err := newPFAnchor(b.system, slog.New(slog.DiscardHandler), &otherPID{b}).Apply(t.Context(), anchored); err != nil {
			t.Fatal(err)
		}
		p := newPFAnchor(b.system, slog.New(slog.DiscardHandler), b)
		b.living = []int{99}
		living, err := p.Leftovers(t.Context())
		if !errors.Is(err, ErrLiving) || len(living) < 4 || !strings.HasPrefix(living[0], "pf's anchor ") || !slices.Contains(living, "net.inet.ip.forwarding = 1 (was 0)") {
			t.Errorf("beside one that lives: %q, %v", living, err)
		}
		if lines, err := p.Cleanup(t.Context()); !errors.Is(err, ErrLiving) || lines != nil || len(b.anchors) != 1 {
			t.Errorf("cleanup beside one that lives: %q, %v", lines, err)
		}
		if err := p.Check(t.Context(), anchored); !errors.Is(err, ErrLiving) {
			t.Errorf("check beside one that lives: %v", err)
		}
		b.living = nil
		b.settings["net.inet.ip.redirect"] = "2"
		lines, err := p.Cleanup(t.Context())
		if err != nil || slices.Contains(lines, "net.inet.ip.redirect = 0 (was 1)") {
			t.Errorf("%q, %v", lines, err)
		}
		if b.settings["net.inet.ip.redirect"] != "2" {
			t.Error("what somebody else has set is lost")
		}
		b.settings["net.inet.ip.redirect"] = "1"
		if len(b.anchors) != 0 || len(b.tokens) != 0 || fmt.Sprint(b.settings) != before {
			t.Errorf("left: anchors %q, tokens %q, settings %v", b.anchors, b.tokens, b.settings)
		}
		if lines, err := p.Cleanup(t.Context()); err != nil || lines != nil {
			t.Errorf("again: %q, %v", lines, err)
		}
	})
}

// TestAnchorsLeave: with Closed what would be captured is refused until somebody
// cleans up; without nothing is left.
func TestAnchorsLeave(t *testing.T) {
	onBSD(t, func(t *testing.T, b *bsd) {
		before := fmt.Sprint(b.settings)
		s := anchored
		for _, s.Closed = range []bool{true, false} {
			p := pfOn(t, b)
			if err := errors.Join(p.Apply(t.Context(), s), p.Leave(t.Context())); err != nil {
				t.Fatal(err)
			}
			refuses := strings.Contains(b.anchors[p.anchor], "block return in quick on em1 inet proto tcp")
			if refuses != s.Closed || strings.Contains(b.anchors[p.anchor], "-> 127") {
				t.Errorf("closed %v, and left is %q", s.Closed, b.anchors)
			}
		}
		if len(b.anchors) != 0 || len(b.tokens) != 0 || fmt.Sprint(b.settings) != before {
			t.Errorf("left: anchors %q, tokens %q, settings %v", b.anchors, b.tokens, b.settings)
		}
	})
}

// TestAnchorsTend: an anchor that somebody empties is filled again, with all that it
// remembers.
func TestAnchorsTend(t *testing.T) {
	onBSD(t, func(t *testing.T, b *bsd) {
		p := pfOn(t, b)
		if back, err := p.Tend(t.Context()); back != "" || err != nil {
			t.Errorf("nothing in force: %q, %v", back, err)
		}
		if err := p.Apply(t.Context(), anchored); err != nil {
			t.Fatal(err)
		}
		whole := b.anchors[p.anchor]
		if back, err := p.Tend(t.Context()); back != "" || err != nil {
			t.Errorf("all is there: %q, %v", back, err)
		}
		delete(b.anchors, p.anchor)
		if back, err := p.Tend(t.Context()); !strings.Contains(back, p.anchor) || err != nil || b.anchors[p.anchor] != whole {
			t.Errorf("emptied: %q, %v, %q", back, err, b.anchors[p.anchor])
		}
		b.off = true
		if _, err := p.Tend(t.Context()); err == nil || !strings.Contains(err.Error(), "pf is off") {
			t.Errorf("pf is off: %v", err)
		}
		b.off, b.unnamed = false, true
		if _, err := p.Tend(t.Context()); !errors.Is(err, platform.ErrUnsupported) || !strings.Contains(err.Error(), "/etc/pf.conf") {
			t.Errorf("nobody looks into it: %v", err)
		}
	})
}

// TestAnchorsTokenGone: who turns macOS's pf off has taken our token.
func TestAnchorsTokenGone(t *testing.T) {
	b := newBSD("darwin")
	p := pfOn(t, b)
	if err := p.Apply(t.Context(), anchored); err != nil {
		t.Fatal(err)
	}
	b.tokens = nil
	if err := p.Close(); err != nil || len(b.anchors) != 0 {
		t.Errorf("%v, left %q", err, b.anchors)
	}
}

// FuzzRemembered: names of tables are anybody's.
func FuzzRemembered(f *testing.F) {
	m := anchorMemory{pid: 1, token: 11072443333123952000, was: map[string]string{"fwd4": "0", "red6": "1"}}
	f.Add(strings.Join(m.names(), "\n"))
	f.Add("transom_pid_-1 transom_was_fwd4_$(x) transom_on_-")
	f.Fuzz(func(t *testing.T, text string) {
		m, ok := remembered(text)
		if !ok {
			return
		}
		for _, name := range m.names() {
			if len(name) > 31 {
				t.Fatalf("%q is too long for a table", name)
			}
		}
		again, ok := remembered(strings.Join(m.names(), "\n"))
		if !ok || fmt.Sprint(again) != fmt.Sprint(m) {
			t.Fatalf("%v is read as %v", m, again)
		}
	})
}

// TestAnchorsShown: the rules that gateway loads are those that steer show prints, line
// for line, on each system.
func TestAnchorsShown(t *testing.T) {
	onBSD(t, func(t *testing.T, b *bsd) {
		s := anchored
		s.Interfaces, s.Closed = []string{"em1"}, false
		var script strings.Builder
		if err := Show(&script, s, "pf"); err != nil {
			t.Fatal(err)
		}
		shown := strings.ReplaceAll(script.String(), "$ll0", "fe80::1")
		p := pfOn(t, b)
		if err := p.Apply(t.Context(), s); err != nil {
			t.Fatal(err)
		}
		rules := 0
		for line := range strings.Lines(b.anchors[p.anchor]) {
			if strings.HasSuffix(line, "> persist\n") {
				continue // what it remembers
			}
			rules++
			if !strings.Contains(shown, "\n"+line) {
				t.Errorf("not shown: %s", line)
			}
		}
		if rules < 8 {
			t.Errorf("%d lines are no rules:\n%s", rules, b.anchors[p.anchor])
		}
	})
}

// TestAnchorsOthers: rules of the main ruleset that bring connections elsewhere, and
// those that block before ours are come to.
func TestAnchorsOthers(t *testing.T) {
	onBSD(t, func(t *testing.T, b *bsd) {
		b.main = map[string]string{
			"nat":   "rdr-anchor \"com.apple/*\" all\nno rdr on em1 all\nrdr on em1 inet proto tcp from any to any port = http -> 10.0.0.1\n",
			"rules": "block drop in  quick on em1 all\nblock drop in on em1 all\nanchor \"com.apple/*\" all\nanchor \"transom\" all\nblock drop in quick on em2 all\npass in on em1 inet proto tcp from any to any port = 80 flags S/SA divert-to 127.0.0.1 port 3128\n",
		}
		bring, block, err := pfOn(t, b).others(t.Context())
		if b.system == "openbsd" {
			bring = append(bring, "") // no rules of nat
		}
		if err != nil || len(bring) != 2 || len(block) != 1 || block[0] != "block drop in quick on em1 all" {
			t.Errorf("%q, %q, %v", bring, block, err)
		}
	})
}
