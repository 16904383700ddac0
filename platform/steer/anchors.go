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
// away when the process dies: what it would have brought is refused then, until the next
// one is made, which takes it back.
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
	alive(pid int) bool
	pid() int
}

// newPFAnchor takes back what dead processes have left.
func newPFAnchor(ctx context.Context, system string, log *slog.Logger, os anchorOS) (*pfAnchor, error) {
	p := &pfAnchor{system: system, log: log, os: os, anchor: "transom"}
	if system == "darwin" { // what /etc/pf.conf has as delivered runs these
		p.anchor = "com.apple/transom." + strconv.Itoa(os.pid())
	}
	return p, p.reap(ctx)
}

// reap takes back the anchors of processes that are dead, and refuses to be the second.
func (p *pfAnchor) reap(ctx context.Context) error {
	anchors := []string{p.anchor}
	if p.system == "darwin" {
		text, err := p.pfctl(ctx, "", "-a", "com.apple", "-s", "Anchors")
		if err != nil {
			return err
		}
		anchors = nil
		for _, name := range strings.Fields(text) {
			if strings.HasPrefix(name, "com.apple/transom.") {
				anchors = append(anchors, name)
			}
		}
	}
	for _, anchor := range anchors {
		text, err := p.pfctl(ctx, "", "-a", anchor, "-s", "Tables")
		if err != nil {
			if p.system == "darwin" {
				return err
			}
			continue // BSDs know no anchor before it has something in it
		}
		m, ok := remembered(text)
		switch {
		case !ok:
		case m.pid != p.os.pid() && p.os.alive(m.pid):
			return fmt.Errorf("another transom steers by pf here, process %d: end it; if that is no transom: pfctl -a %s -F rules and -F nat, and -F Tables", m.pid, anchor)
		default:
			p.log.Warn("an earlier run has left something behind, which is removed", "what", "pf's anchor "+anchor)
			if err := p.takeBack(ctx, anchor, m); err != nil {
				return err
			}
		}
	}
	return nil
}

// can refuses what an anchor can't do.
func (p *pfAnchor) can(want platform.Steering) error {
	if err := want.Check(); err != nil {
		return err
	}
	if err := checkWords(&want); err != nil {
		return err
	}
	no := func(what string) error { return fmt.Errorf("steer by pf: %s: %w", what, platform.ErrUnsupported) }
	switch {
	case want.Local:
		return no("what this host's own programs send")
	case len(want.UDPPorts) > 0:
		return no("UDP")
	case want.Spoof:
		return no("clients' addresses towards servers")
	}
	return nil
}

// named makes sure that somebody looks into the anchor.
func (p *pfAnchor) named(ctx context.Context) error {
	list := "-s nat"
	want := map[string]string{"darwin": `rdr-anchor "com.apple/*"`, "freebsd": `rdr-anchor "transom"`, "openbsd": `anchor "transom"`}[p.system]
	if p.system == "openbsd" {
		list = "-s rules"
	}
	text, err := p.pfctl(ctx, "", strings.Fields(list)...)
	if err != nil {
		return err
	}
	if !strings.Contains(text, want) {
		return fmt.Errorf("no rule of pf looks into transom's anchor: add to /etc/pf.conf, and load it with pfctl -f /etc/pf.conf: %s", want)
	}
	if p.system == "darwin" {
		return nil // which turns it on
	}
	text, err = p.pfctl(ctx, "", "-s", "info")
	if err == nil && !strings.Contains(text, "Status: Enabled") {
		err = errors.New("pf is off: turn it on with pfctl -e")
	}
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
	if err := p.can(want); err != nil {
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
	if err := p.begin(ctx, want); err != nil {
		return errors.Join(err, p.takeBack(context.WithoutCancel(ctx), p.anchor, p.memory))
	}
	p.now = &want
	return nil
}

// begin notes what there is before it changes anything.
func (p *pfAnchor) begin(ctx context.Context, want platform.Steering) error {
	p.memory = anchorMemory{pid: p.os.pid(), was: map[string]string{}}
	for _, s := range anchorSettings {
		text, err := p.os.run(ctx, "", "sysctl", "-n", s.key)
		if err != nil {
			return fmt.Errorf("read %s: %w", s.key, err)
		}
		if was := strings.TrimSpace(text); was != s.value {
			p.memory.was[s.short] = was
		}
	}
	if err := p.load(ctx, want); err != nil {
		return err
	}
	if p.system == "darwin" {
		text, err := p.pfctl(ctx, "", "-E")
		if err != nil {
			return err
		}
		if p.memory.token, err = tokenOf(text); err != nil {
			return err
		}
		if err := p.load(ctx, want); err != nil {
			return err
		}
	}
	for _, s := range anchorSettings {
		if _, changed := p.memory.was[s.short]; changed {
			if _, err := p.os.run(ctx, "", "sysctl", s.key+"="+s.value); err != nil {
				return fmt.Errorf("set %s: %w", s.key, err)
			}
		}
	}
	return nil
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
// last. Open connections keep their states.
func (p *pfAnchor) takeBack(ctx context.Context, anchor string, m anchorMemory) error {
	var errs []error
	do := func(_ string, err error) { errs = append(errs, err) }
	do(p.pfctl(ctx, "", "-q", "-a", anchor, "-F", "rules"))
	if p.system != "openbsd" {
		do(p.pfctl(ctx, "", "-q", "-a", anchor, "-F", "nat"))
	}
	for _, s := range anchorSettings {
		if was, changed := m.was[s.short]; changed {
			do(p.os.run(ctx, "", "sysctl", s.key+"="+was))
		}
	}
	if m.token != 0 {
		do(p.pfctl(ctx, "", "-q", "-X", strconv.FormatUint(m.token, 10)))
	}
	do(p.pfctl(ctx, "", "-q", "-a", anchor, "-F", "Tables"))
	return errors.Join(errs...)
}

// Close takes everything back.
func (p *pfAnchor) Close() error { return p.Apply(context.Background(), platform.Steering{}) }

func (p *pfAnchor) pfctl(ctx context.Context, stdin string, args ...string) (string, error) {
	text, err := p.os.run(ctx, stdin, append([]string{"pfctl"}, args...)...)
	if err != nil {
		return text, fmt.Errorf("pfctl %s: %w: %s", strings.Join(args, " "), err, strings.Join(strings.Fields(text), " "))
	}
	return text, nil
}
