package steer

import (
	"context"
	"fmt"

	"transom/platform"
)

// found returns what a process has left, and this one's that it has no knowledge of. If
// the process lives the error wraps ErrLiving.
func (i *ipfwSets) found(ctx context.Context) (m anchorMemory, ok bool, err error) {
	if _, err := i.enabled(ctx); err != nil {
		return m, false, nil // it is not loaded, and no rule there is
	}
	text, err := i.list(ctx, memorySet)
	if err != nil {
		return m, false, err
	}
	m, ok = rememberedRule(text)
	if ok && m.pid != i.os.pid() && i.os.alive(m.pid) {
		err = fmt.Errorf("%w by ipfw, process %d: end it; if that is no transom: ipfw delete set %d and %d, and %d", ErrLiving, m.pid, ourSet, spareSet, memorySet)
	}
	return m, ok, err
}

// ipfwWhat is what is left, for a person.
const ipfwWhat = "ipfw's sets of rules 27 to 29"

// Leftovers implements Steerer.
func (i *ipfwSets) Leftovers(ctx context.Context) ([]string, error) {
	m, ok, err := i.found(ctx)
	if !ok {
		return nil, err
	}
	return append([]string{ipfwWhat}, anchorSettingWords(ctx, i.os, m)...), err
}

// Cleanup implements Steerer.
func (i *ipfwSets) Cleanup(ctx context.Context) ([]string, error) {
	i.mu.Lock()
	defer i.mu.Unlock()
	m, ok, err := i.found(ctx)
	if err != nil || !ok {
		return nil, err
	}
	lines := append([]string{ipfwWhat}, anchorSettingWords(ctx, i.os, m)...)
	if err := i.takeBack(ctx, m); err != nil {
		return nil, err
	}
	return lines, nil
}

// Yield implements Steerer. Settings are remembered by each backend for itself.
func (i *ipfwSets) Yield(ctx context.Context) ([]string, error) { return i.Cleanup(ctx) }

// Leave implements Steerer, as pfAnchor does.
func (i *ipfwSets) Leave(ctx context.Context) error {
	i.mu.Lock()
	now := i.now
	i.mu.Unlock()
	switch {
	case now == nil:
		_, err := i.Cleanup(ctx)
		return err
	case !now.Closed:
		return i.Apply(ctx, platform.Steering{})
	}
	refusing := *now
	refusing.Draining, refusing.Refusing = true, true
	return i.Apply(ctx, refusing)
}

// Tend puts back what others have taken away, as pfAnchor does.
func (i *ipfwSets) Tend(ctx context.Context) (back string, err error) {
	i.mu.Lock()
	defer i.mu.Unlock()
	if i.now == nil {
		return "", nil
	}
	text, err := i.list(ctx, memorySet)
	if err != nil {
		return "", err
	}
	if m, ok := rememberedRule(text); !ok || m.pid != i.memory.pid {
		if err := i.fill(ctx, memorySet, [][]string{i.memory.rule()}); err != nil {
			return "", err
		}
		if err := i.put(ctx, *i.now); err != nil {
			return "", err
		}
		back = "somebody has removed rules of ipfw: they are there again"
	}
	return back, i.on(ctx)
}

// Close takes everything back.
func (i *ipfwSets) Close() error { return i.Apply(context.Background(), platform.Steering{}) }

// Abandon implements Steerer: nothing is open.
func (i *ipfwSets) Abandon() error { return nil }

// Remember implements Steerer: the rules themselves are the memory.
func (i *ipfwSets) Remember(Memory) {}
