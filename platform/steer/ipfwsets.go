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

// ipfwSets steers by ipfw of FreeBSD, where pf is not in use. Rules are of two sets:
// those that capture, or refuse; and one rule that no packet fits, whose comment says
// whose they are and what settings were. A third is filled and takes the place of one of them,
// so that there is no moment without. Like an anchor of pf's they stay when the process dies.
type ipfwSets struct {
	log *slog.Logger
	os  anchorOS

	mu     sync.Mutex // held by the one Apply
	now    *platform.Steering
	memory anchorMemory
}

// The sets.
const (
	spareSet  = ourSet - 1
	memorySet = ourSet - 2
)

func newIPFWSets(log *slog.Logger, os anchorOS) *ipfwSets { return &ipfwSets{log: log, os: os} }

// rules are the arguments of ipfw for a part of a steering.
func (i *ipfwSets) rules(want platform.Steering, part func(*ipfw)) [][]string {
	var b script
	part(&ipfw{&b, want, spareSet})
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
	text, err := i.enabled(ctx)
	switch {
	case err != nil:
		return fmt.Errorf("ipfw is not loaded: kldload ipfw, with net.inet.ip.fw.default_to_accept=1 in /boot/loader.conf, or its last rule denies everything: %w", platform.ErrUnsupported)
	case text != "1":
		return fmt.Errorf("ipfw is off: ipfw enable firewall turns it on: %w", platform.ErrUnsupported)
	}
	return nil
}

// enabled is "1" if ipfw looks at packets. If it is not loaded that is an error; while it is
// off it keeps its rules, which can be listed and removed as ever.
func (i *ipfwSets) enabled(ctx context.Context) (string, error) {
	text, err := i.os.run(ctx, "", "sysctl", "-n", "net.inet.ip.fw.enable")
	return strings.TrimSpace(text), err
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
// fails. What a dead process has left becomes this one's: what refuses goes on to.
func (i *ipfwSets) begin(ctx context.Context, want platform.Steering) error {
	if err := i.on(ctx); err != nil {
		return err
	}
	left, taken, err := i.found(ctx)
	if err != nil {
		return err
	}
	if taken {
		tookOverRules(i.log, ipfwWhat)
	}
	i.memory = anchorMemory{pid: i.os.pid(), was: left.was}
	if err := i.take(ctx, want); err != nil {
		if taken && want.Closed {
			return err // and nothing goes past
		}
		return errors.Join(err, i.takeBack(context.WithoutCancel(ctx), i.memory))
	}
	return nil
}

// take puts a steering in force where there was none of this process.
func (i *ipfwSets) take(ctx context.Context, want platform.Steering) error {
	was, err := readAnchorSettings(ctx, i.os)
	if err != nil {
		return err
	}
	i.memory.add(was)
	for _, step := range []func() error{
		func() error { return i.fill(ctx, memorySet, [][]string{i.memory.rule()}) },
		func() error { return i.put(ctx, want) },
		func() error { return setAnchorSettings(ctx, i.os, was) },
	} {
		if err := step(); err != nil {
			return err
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
	return append(strings.Fields(fmt.Sprintf("-q add %d set %d count ip from any to any in recv transom_none //", ipfwLeft, spareSet)), words...)
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

// put has rules of a steering take the place of those in force.
func (i *ipfwSets) put(ctx context.Context, want platform.Steering) error {
	part := (*ipfw).capture
	switch {
	case want.Draining && want.Refusing:
		part = (*ipfw).refuse
	case want.Draining:
		part = (*ipfw).open
	}
	return i.fill(ctx, ourSet, i.rules(want, part))
}

// fill fills the spare set while it is off, and swaps it for another, whose rules then
// are the ones to remove. If it fails the other is as it was.
func (i *ipfwSets) fill(ctx context.Context, set int, rules [][]string) error {
	spare := strconv.Itoa(spareSet)
	if err := i.ipfw(ctx, "-q", "set", "disable", spare); err != nil {
		return err
	}
	err := i.empty(ctx, spareSet)
	for _, rule := range append(rules, []string{"-q", "set", "swap", spare, strconv.Itoa(set)}) {
		if err == nil {
			err = i.ipfw(ctx, rule...)
		}
	}
	if left := i.empty(ctx, spareSet); left != nil {
		return errors.Join(err, left) // and stays off
	}
	return errors.Join(err, i.ipfw(ctx, "-q", "set", "enable", spare))
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
	err := errors.Join(i.empty(ctx, ourSet), i.empty(ctx, spareSet), putAnchorSettingsBack(ctx, i.os, m))
	if err == nil {
		err = i.empty(ctx, memorySet)
	}
	if err == nil {
		i.now = nil
	}
	return err
}
