package steer

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"strconv"
	"strings"
	"sync"

	"transom/platform"
)

// A pfAnchor steers by an anchor of its own in pf of macOS, FreeBSD or OpenBSD, which
// pfctl loads. It changes no rule of others, and no file. Nothing takes the anchor
// away when the process dies: what it would have brought is refused then, until somebody
// takes it back, as the next one does before it puts anything in force.
type pfAnchor struct {
	system string // as runtime.GOOS has it
	log    *slog.Logger
	os     anchorOS

	mu     sync.Mutex // held by the one Apply
	anchor string
	now    *platform.Steering // what is in force; nil is nothing
	memory anchorMemory
}

// anchorOS is the system that a pfAnchor is on.
type anchorOS interface {
	// run runs a command to its end, and returns what it printed on both outputs.
	run(ctx context.Context, stdin string, argv ...string) (string, error)
	linkLocal(iface string) (netip.Addr, bool)
	has(iface string) bool
	alive(pid int) bool
	pid() int
}

// newPFAnchor opens nothing: it is pfctl that does.
func newPFAnchor(system string, log *slog.Logger, os anchorOS) *pfAnchor {
	p := &pfAnchor{system: system, log: log, os: os, anchor: "transom"}
	if system == "darwin" { // what /etc/pf.conf has as delivered runs these
		p.anchor = "com.apple/transom." + strconv.Itoa(os.pid())
	}
	return p
}

// canByBSD refuses what the filters of the BSDs can't do, or what this doesn't have
// them do.
func canByBSD(filter string, os anchorOS, want platform.Steering) error {
	if err := want.Check(); err != nil {
		return err
	}
	if err := checkWords(&want); err != nil {
		return err
	}
	no := func(what string) error {
		return fmt.Errorf("steer by %s: %s: %w", filter, what, platform.ErrUnsupported)
	}
	switch {
	case want.Local:
		return no("what this host's own programs send")
	case len(want.UDPPorts) > 0:
		return no("UDP")
	case want.Spoof:
		return no("clients' addresses towards servers")
	}
	for _, name := range want.Interfaces {
		if !os.has(name) {
			return fmt.Errorf("steer by %s: there is no interface %s", filter, name)
		}
	}
	return nil
}

// A pfName is a rule of the main ruleset that has pf look into an anchor, and what
// lists it.
type pfName struct{ list, rule string }

// pfNames are those that each system takes: where there is rdr, one for it and one
// for what refuses.
var pfNames = map[string][]pfName{
	"darwin":  {{"nat", `rdr-anchor "com.apple/*"`}, {"rules", `anchor "com.apple/*"`}},
	"freebsd": {{"nat", `rdr-anchor "transom"`}, {"rules", `anchor "transom"`}},
	"openbsd": {{"rules", `anchor "transom"`}},
}

// named makes sure that somebody looks into the anchor, and that pf is on.
func (p *pfAnchor) named(ctx context.Context) error {
	var missing []string
	for _, n := range pfNames[p.system] {
		text, err := p.pfctl(ctx, "", "-s", n.list)
		if err != nil {
			return p.hint(err)
		}
		if !names(text, n.rule) {
			missing = append(missing, n.rule)
		}
	}
	if missing != nil {
		return fmt.Errorf("no rule of pf looks into transom's anchor: add to /etc/pf.conf, and load it with pfctl -f /etc/pf.conf: %s: %w", strings.Join(missing, "; and, behind it, "), errNotReady)
	}
	if p.system == "darwin" {
		return nil // which turns it on
	}
	return p.enabled(ctx)
}

// enabled makes sure that pf is on.
func (p *pfAnchor) enabled(ctx context.Context) error {
	text, err := p.pfctl(ctx, "", "-s", "info")
	if err == nil && !strings.Contains(text, "Status: Enabled") {
		err = fmt.Errorf("pf is off: turn it on with pfctl -e: %w", errNotReady)
	}
	return err
}

// errNotReady is wrapped where another backend may do.
var errNotReady = fmt.Errorf("pf is not ready: %w", platform.ErrUnsupported)

// hint adds what may have to be done before pfctl says anything.
func (p *pfAnchor) hint(err error) error {
	if p.system == "freebsd" {
		return fmt.Errorf("%w; if pf is not loaded: kldload pf: %w", err, errNotReady)
	}
	return err
}

// names reports whether a list of rules has one that begins so.
func names(list, rule string) bool {
	for line := range strings.Lines(list) {
		if strings.HasPrefix(strings.TrimSpace(line), rule) {
			return true
		}
	}
	return false
}

// Check implements Steerer.
func (p *pfAnchor) Check(ctx context.Context, want platform.Steering) error {
	if err := canByBSD("pf", p.os, want); err != nil {
		return err
	}
	if err := p.named(ctx); err != nil {
		return err
	}
	_, err := p.found(ctx)
	return err
}

// Apply implements platform.Network.
func (p *pfAnchor) Apply(ctx context.Context, want platform.Steering) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if want.IsZero() {
		if p.now == nil {
			return nil
		}
		err := p.takeBack(ctx, p.anchor, p.memory)
		if err == nil {
			p.now = nil
		}
		return err
	}
	if err := canByBSD("pf", p.os, want); err != nil {
		return err
	}
	if p.now != nil {
		if err := p.load(ctx, want); err != nil {
			return err // pfctl loads all or nothing
		}
		p.now = &want
		return nil
	}
	if err := p.named(ctx); err != nil {
		return err
	}
	left, err := p.found(ctx)
	if err != nil {
		return err
	}
	if err := p.begin(ctx, want, left); err != nil {
		if len(left) > 0 && want.Closed {
			return err // and nothing goes past
		}
		ctx := context.WithoutCancel(ctx)
		return errors.Join(err, p.takeBack(ctx, p.anchor, p.memory), p.takeOthersBack(ctx, left))
	}
	p.now = &want
	return nil
}

// begin notes what there is before it changes anything. What dead processes have left
// becomes this one's: what refuses goes on to until other rules are in its place.
func (p *pfAnchor) begin(ctx context.Context, want platform.Steering, left []foundAnchor) error {
	p.takeOver(left)
	was, err := readAnchorSettings(ctx, p.os)
	if err != nil {
		return err
	}
	p.memory.add(was)
	if err := p.load(ctx, want); err != nil {
		return err
	}
	if p.system == "darwin" {
		if err := p.turnOn(ctx, want); err != nil {
			return err
		}
	}
	if err := p.forget(ctx, left); err != nil {
		return err
	}
	return setAnchorSettings(ctx, p.os, was)
}

// turnOn has macOS's pf on by a token of ours, and notes that.
func (p *pfAnchor) turnOn(ctx context.Context, want platform.Steering) error {
	if t := p.memory.token; t != 0 && p.holds(ctx, t) {
		return nil
	}
	text, err := p.pfctl(ctx, "", "-E")
	if err != nil {
		return err
	}
	if p.memory.token, err = tokenOf(text); err != nil {
		return err
	}
	return p.load(ctx, want)
}

func (p *pfAnchor) load(ctx context.Context, want platform.Steering) error {
	_, err := p.pfctl(ctx, anchorText(p.system, want, p.memory, p.os.linkLocal), "-q", "-a", p.anchor, "-f", "-")
	return err
}

// tokenOf finds what pfctl -E prints: "Token : 123".
func tokenOf(text string) (uint64, error) {
	for line := range strings.Lines(text) {
		if name, value, ok := strings.Cut(line, ":"); ok && strings.TrimSpace(name) == "Token" {
			return strconv.ParseUint(strings.TrimSpace(value), 10, 64)
		}
	}
	return 0, errors.New("pfctl -E has printed no token")
}

// takeBack goes on whatever fails. The tables, which say what is to be put back, go
// last, and only if all was: else the next one tries again. Open connections keep their states.
func (p *pfAnchor) takeBack(ctx context.Context, anchor string, m anchorMemory) error {
	var errs []error
	do := func(_ string, err error) { errs = append(errs, err) }
	do(p.pfctl(ctx, "", "-q", "-a", anchor, "-F", "rules"))
	if p.system != "openbsd" {
		do(p.pfctl(ctx, "", "-q", "-a", anchor, "-F", "nat"))
	}
	errs = append(errs, putAnchorSettingsBack(ctx, p.os, m))
	if m.token != 0 {
		errs = append(errs, p.letGo(ctx, m.token))
	}
	if err := errors.Join(errs...); err != nil {
		return err
	}
	_, err := p.pfctl(ctx, "", "-q", "-a", anchor, "-F", "Tables")
	return err
}

// letGo gives back the token by which macOS has pf on. Who turns pf off takes all
// tokens away.
func (p *pfAnchor) letGo(ctx context.Context, token uint64) error {
	_, err := p.pfctl(ctx, "", "-q", "-X", strconv.FormatUint(token, 10))
	if err == nil {
		return nil
	}
	if !p.holds(ctx, token) {
		return nil
	}
	return err
}

// holds reports whether a token holds pf on, as far as can be said.
func (p *pfAnchor) holds(ctx context.Context, token uint64) bool {
	text, err := p.pfctl(ctx, "", "-s", "References")
	return err != nil || strings.Contains(text, strconv.FormatUint(token, 10))
}

// Close takes everything back.
func (p *pfAnchor) Close() error { return p.Apply(context.Background(), platform.Steering{}) }

// Abandon implements Steerer: nothing is open.
func (p *pfAnchor) Abandon() error { return nil }

// Remember implements Steerer: the anchor itself is the memory.
func (p *pfAnchor) Remember(Memory) {}

func (p *pfAnchor) pfctl(ctx context.Context, stdin string, args ...string) (string, error) {
	text, err := p.os.run(ctx, stdin, append([]string{"pfctl"}, args...)...)
	if err != nil {
		return text, fmt.Errorf("pfctl %s: %w: %s", strings.Join(args, " "), err, strings.Join(strings.Fields(text), " "))
	}
	return text, nil
}
