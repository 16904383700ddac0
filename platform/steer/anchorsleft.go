package steer

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"transom/platform"
)

// A foundAnchor is one that a process has put things into.
type foundAnchor struct {
	name   string
	memory anchorMemory
}

// found returns what other processes have left, and this one's that it has no
// knowledge of. If one of them lives the error wraps ErrLiving, and all are returned.
func (p *pfAnchor) found(ctx context.Context) (list []foundAnchor, err error) {
	anchors, err := p.candidates(ctx)
	if err != nil {
		return nil, err
	}
	for _, name := range anchors {
		text, err := p.pfctl(ctx, "", "-a", name, "-s", "Tables")
		if err != nil {
			if p.system == "darwin" {
				return nil, err
			}
			continue // BSDs know no anchor before it has something in it
		}
		if m, ok := remembered(text); ok {
			list = append(list, foundAnchor{name, m})
		}
	}
	for _, f := range list {
		if pid := f.memory.pid; pid != p.os.pid() && p.os.alive(pid) {
			return list, fmt.Errorf("%w by pf, process %d: end it; if that is no transom: pfctl -a %s -F rules and -F nat, and -F Tables", ErrLiving, pid, f.name)
		}
	}
	return list, nil
}

// candidates are the anchors that may be a transom's.
func (p *pfAnchor) candidates(ctx context.Context) ([]string, error) {
	if p.system != "darwin" {
		return []string{p.anchor}, nil
	}
	text, err := p.pfctl(ctx, "", "-a", "com.apple", "-s", "Anchors")
	if err != nil {
		return nil, err
	}
	var anchors []string
	for _, name := range strings.Fields(text) {
		if strings.HasPrefix(name, "com.apple/transom.") {
			anchors = append(anchors, name)
		}
	}
	return anchors, nil
}

// reap takes back what dead processes have left, and refuses to be the second.
func (p *pfAnchor) reap(ctx context.Context) error {
	list, err := p.found(ctx)
	if err != nil {
		return err
	}
	for _, f := range list {
		p.log.Warn("an earlier run has left something behind, which is removed", "what", anchorWhat(f.name))
		if err := p.takeBack(ctx, f.name, f.memory); err != nil {
			return err
		}
	}
	return nil
}

// anchorWhat is what is left, for a person.
func anchorWhat(name string) string { return "pf's anchor " + name }

// takeOver makes what dead processes have left this one's: the anchor of the first, and
// what all of them remember.
func (p *pfAnchor) takeOver(left []foundAnchor) {
	p.memory = anchorMemory{pid: p.os.pid(), was: map[string]string{}}
	for i, f := range left {
		tookOverRules(p.log, anchorWhat(f.name))
		if i == 0 {
			p.anchor, p.memory.token = f.name, f.memory.token
		}
		p.memory.add(f.memory.was)
	}
}

// forget removes what dead processes have left beside what is in force now: tables with
// what is not so any more, and other anchors.
func (p *pfAnchor) forget(ctx context.Context, left []foundAnchor) error {
	if len(left) == 0 {
		return nil
	}
	text, err := p.pfctl(ctx, "", "-a", p.anchor, "-s", "Tables")
	if err != nil {
		return err
	}
	names := p.memory.names()
	for _, name := range strings.Fields(text) {
		if isMemory(name) && !slices.Contains(names, name) {
			if _, err := p.pfctl(ctx, "", "-q", "-a", p.anchor, "-t", name, "-T", "kill"); err != nil {
				return err
			}
		}
	}
	return p.takeOthersBack(ctx, left)
}

// takeOthersBack empties the anchors that have not been taken over, all but the first.
func (p *pfAnchor) takeOthersBack(ctx context.Context, left []foundAnchor) error {
	var errs []error
	for i, f := range left {
		if i > 0 {
			errs = append(errs, p.takeBack(ctx, f.name, anchorMemory{token: f.memory.token}))
		}
	}
	return errors.Join(errs...)
}

// Leftovers implements Steerer.
func (p *pfAnchor) Leftovers(ctx context.Context) (lines []string, err error) {
	list, err := p.found(ctx)
	for _, f := range list {
		lines = append(lines, p.words(ctx, f)...)
	}
	return lines, err
}

// words lists what an anchor stands for.
func (p *pfAnchor) words(ctx context.Context, f foundAnchor) []string {
	lines := append([]string{anchorWhat(f.name)}, anchorSettingWords(ctx, p.os, f.memory)...)
	if f.memory.token != 0 {
		lines = append(lines, "pf, which is on for the token "+strconv.FormatUint(f.memory.token, 10))
	}
	return lines
}

// Cleanup implements Steerer.
func (p *pfAnchor) Cleanup(ctx context.Context) (lines []string, err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	list, err := p.found(ctx)
	if err != nil {
		return nil, err
	}
	var errs []error
	for _, f := range list {
		words := p.words(ctx, f)
		if err := p.takeBack(ctx, f.name, f.memory); err != nil {
			errs = append(errs, err)
			continue
		}
		lines = append(lines, words...)
	}
	p.now = nil
	return lines, errors.Join(errs...)
}

// Yield implements Steerer. Settings are remembered by each backend for itself.
func (p *pfAnchor) Yield(ctx context.Context) ([]string, error) { return p.Cleanup(ctx) }

// Leave implements Steerer. What Steering.Closed refuses by is rules of the anchor,
// which stays with what it remembers until the next start: forwarding too, for what
// was never captured.
func (p *pfAnchor) Leave(ctx context.Context) error {
	p.mu.Lock()
	now := p.now
	p.mu.Unlock()
	switch {
	case now == nil:
		_, err := p.Cleanup(ctx)
		return err
	case !now.Closed:
		return p.Apply(ctx, platform.Steering{})
	}
	refusing := *now
	refusing.Draining, refusing.Refusing = true, true
	return p.Apply(ctx, refusing)
}

// Tend puts back what others have taken from the anchor while it is in force, and
// says what they have. What it can't put back is an error.
func (p *pfAnchor) Tend(ctx context.Context) (back string, err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.now == nil {
		return "", nil
	}
	text, err := p.pfctl(ctx, "", "-a", p.anchor, "-s", "Tables")
	m, ok := remembered(text)
	if err != nil || !ok || m.pid != p.memory.pid {
		if err := p.load(ctx, *p.now); err != nil {
			return "", err
		}
		back = "somebody has emptied pf's anchor " + p.anchor + ": it is filled again"
	}
	if err := p.named(ctx); err != nil || p.system != "darwin" {
		return back, err
	}
	return back, p.enabled(ctx)
}

// others returns rules of the main ruleset, as they are listed, that bring connections
// elsewhere, and those that drop for good before ours are come to.
func (p *pfAnchor) others(ctx context.Context) (bring, block []string, err error) {
	ours := false
	for _, list := range []string{"nat", "rules"} {
		if list == "nat" && p.system == "openbsd" {
			continue // which has no such list
		}
		text, err := p.pfctl(ctx, "", "-s", list)
		if err != nil {
			return nil, nil, p.hint(err)
		}
		for line := range strings.Lines(text) {
			line = strings.Join(strings.Fields(line), " ")
			words := strings.Fields(line)
			switch {
			case line == "" || words[0] == "no":
			case words[0] == "rdr", words[0] == "pass" && (slices.Contains(words, "rdr-to") || slices.Contains(words, "divert-to")):
				bring = append(bring, line)
			case list == "rules" && p.ours(line):
				ours = true
			case words[0] == "block" && slices.Contains(words, "quick") && !ours:
				block = append(block, line)
			}
		}
	}
	return bring, block, nil
}

// ours reports whether a rule of the main ruleset is one that looks into our anchor.
func (p *pfAnchor) ours(line string) bool {
	return slices.ContainsFunc(pfNames[p.system], func(n pfName) bool { return n.list == "rules" && strings.HasPrefix(line, n.rule) })
}
