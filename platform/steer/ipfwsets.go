package steer

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strconv"
	"strings"
	"sync"

	"transom/platform"
)

// ipfwSets steers by ipfw of FreeBSD, where pf is not in use. Rules are of three
// sets, each of which appears and goes at once: those that capture, those that
// refuse, and one rule that no packet fits, whose comment says whose they are and
// what settings were. Like an anchor of pf's they stay when the process dies.
type ipfwSets struct {
	log *slog.Logger
	os  anchorOS

	mu     sync.Mutex // held by the one Apply
	now    *platform.Steering
	memory anchorMemory
}

// The sets.
const (
	refusingSet = ourSet - 1
	memorySet   = ourSet - 2
)

func newIPFWSets(log *slog.Logger, os anchorOS) *ipfwSets { return &ipfwSets{log: log, os: os} }

// rules are the arguments of ipfw for a part of a steering.
func (i *ipfwSets) rules(want platform.Steering, set int, part func(*ipfw)) [][]string {
	var b script
	part(&ipfw{&b, want, set})
	var all [][]string
	for line := range strings.Lines(b.String()) {
		if rule, ok := strings.CutPrefix(line, "\tipfw "); ok {
			all = append(all, strings.Fields(rule))
		}
	}
	return all
}

// Check implements Steerer.
func (i *ipfwSets) Check(ctx context.Context, want platform.Steering) error {
	if err := canByBSD("ipfw", i.os, want); err != nil {
		return err
	}
	if err := i.on(ctx); err != nil {
		return err
	}
	_, _, err := i.found(ctx)
	return err
}

// on makes sure that ipfw is loaded and looks at packets.
func (i *ipfwSets) on(ctx context.Context) error {
	text, err := i.os.run(ctx, "", "sysctl", "-n", "net.inet.ip.fw.enable")
	switch {
	case err != nil:
		return fmt.Errorf("ipfw is not loaded: kldload ipfw, with net.inet.ip.fw.default_to_accept=1 in /boot/loader.conf, or its last rule denies everything: %w", platform.ErrUnsupported)
	case strings.TrimSpace(text) != "1":
		return fmt.Errorf("ipfw is off: ipfw enable firewall turns it on: %w", platform.ErrUnsupported)
	}
	return nil
}

// Apply implements platform.Network.
func (i *ipfwSets) Apply(ctx context.Context, want platform.Steering) error {
	i.mu.Lock()
	defer i.mu.Unlock()
	if want.IsZero() {
		if i.now == nil {
			return nil
		}
		return i.takeBack(ctx, i.memory)
	}
	if err := canByBSD("ipfw", i.os, want); err != nil {
		return err
	}
	if i.now == nil {
		if err := i.begin(ctx, want); err != nil {
			return err
		}
	} else if err := i.put(ctx, want); err != nil {
		return err
	}
	i.now = &want
	return nil
}

// begin notes what there is before it changes anything, and undoes what it has when it
// fails.
func (i *ipfwSets) begin(ctx context.Context, want platform.Steering) error {
	if err := i.on(ctx); err != nil {
		return err
	}
	if err := i.reap(ctx); err != nil {
		return err
	}
	was, err := readAnchorSettings(ctx, i.os)
	if err != nil {
		return err
	}
	i.memory = anchorMemory{pid: i.os.pid(), was: was}
	for _, step := range []func() error{
		func() error { return i.ipfw(ctx, i.memory.rule()...) },
		func() error { return i.put(ctx, want) },
		func() error { return setAnchorSettings(ctx, i.os, was) },
	} {
		if err := step(); err != nil {
			return errors.Join(err, i.takeBack(context.WithoutCancel(ctx), i.memory))
		}
	}
	return nil
}

// rule is the one that says whose it all is: of an interface that nobody has.
func (m *anchorMemory) rule() []string {
	words := []string{"transom", "pid=" + strconv.Itoa(m.pid)}
	for _, s := range anchorSettings {
		if was, changes := m.was[s.short]; changes {
			words = append(words, s.short+"="+was)
		}
	}
	return append(strings.Fields(fmt.Sprintf("-q add %d set %d count ip from any to any in recv transom_none //", ipfwLeft, memorySet)), words...)
}

// rememberedRule reads that rule as ipfw lists it.
func rememberedRule(text string) (m anchorMemory, ok bool) {
	m.was = map[string]string{}
	for line := range strings.Lines(text) {
		_, comment, _ := strings.Cut(line, "// ")
		words := strings.Fields(comment)
		if len(words) == 0 || words[0] != "transom" {
			continue
		}
		for _, w := range words[1:] {
			name, value, _ := strings.Cut(w, "=")
			n, err := strconv.ParseUint(value, 10, 31)
			switch {
			case err != nil:
			case name == "pid" && n > 0:
				m.pid, ok = int(n), true
			case settingOf(name) != "":
				m.was[name] = value
			}
		}
	}
	return m, ok
}

// put makes the sets what a steering asks for: the new one appears before the old one
// goes.
func (i *ipfwSets) put(ctx context.Context, want platform.Steering) error {
	switch {
	case want.Draining && want.Refusing:
		if err := i.fill(ctx, refusingSet, i.rules(want, refusingSet, (*ipfw).refuse)); err != nil {
			return err
		}
		return i.empty(ctx, ourSet)
	case want.Draining:
		return errors.Join(i.empty(ctx, ourSet), i.empty(ctx, refusingSet))
	}
	if err := i.fill(ctx, ourSet, i.rules(want, ourSet, (*ipfw).capture)); err != nil {
		return err
	}
	return i.empty(ctx, refusingSet)
}

// fill adds rules to a set that is off, and then turns it on.
func (i *ipfwSets) fill(ctx context.Context, set int, rules [][]string) error {
	n := strconv.Itoa(set)
	if err := i.ipfw(ctx, "-q", "set", "disable", n); err != nil {
		return err
	}
	err := i.empty(ctx, set)
	for _, rule := range rules {
		if err == nil {
			err = i.ipfw(ctx, rule...)
		}
	}
	if err != nil {
		err = errors.Join(err, i.empty(ctx, set))
	}
	return errors.Join(err, i.ipfw(ctx, "-q", "set", "enable", n))
}

// empty removes a set. To remove what isn't there may be a failure, so it is looked
// whether it is.
func (i *ipfwSets) empty(ctx context.Context, set int) error {
	text, err := i.list(ctx, set)
	if err != nil || text == "" {
		return err
	}
	return i.ipfw(ctx, "-q", "delete", "set", strconv.Itoa(set))
}

// list returns the rules of a set.
func (i *ipfwSets) list(ctx context.Context, set int) (string, error) {
	text, err := i.os.run(ctx, "", "ipfw", "-S", "set", strconv.Itoa(set), "list")
	if err != nil {
		return "", fmt.Errorf("list the rules of ipfw's set %d: %w: %s", set, err, strings.TrimSpace(text))
	}
	return strings.TrimSpace(text), nil
}

func (i *ipfwSets) ipfw(ctx context.Context, args ...string) error {
	text, err := i.os.run(ctx, "", append([]string{"ipfw"}, args...)...)
	if err != nil {
		return fmt.Errorf("ipfw %s: %w: %s", strings.Join(args, " "), err, strings.Join(strings.Fields(text), " "))
	}
	return nil
}

// takeBack goes on whatever fails. What says what is to be put back goes last.
func (i *ipfwSets) takeBack(ctx context.Context, m anchorMemory) error {
	err := errors.Join(i.empty(ctx, ourSet), i.empty(ctx, refusingSet), putAnchorSettingsBack(ctx, i.os, m))
	if err == nil {
		err = i.empty(ctx, memorySet)
	}
	if err == nil {
		i.now = nil
	}
	return err
}
