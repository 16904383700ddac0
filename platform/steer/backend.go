package steer

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"runtime"
	"slices"

	"transom/platform"
)

// A Steerer puts steerings in force and takes them back, by one of the
// backends.
type Steerer interface {
	platform.Network
	// Check finds, before anything is changed, what Apply(want) would fail of.
	// An error that wraps platform.ErrUnsupported says that the kernel lacks
	// something that another method or backend may not need.
	Check(ctx context.Context, want platform.Steering) error
	// Leftovers lists what an earlier run has left behind, one line each, as a
	// person would name it. What belongs to a process that lives is listed too,
	// with ErrLiving where that can be told.
	Leftovers(ctx context.Context) ([]string, error)
	// Cleanup removes what an earlier run has left behind, and returns what that
	// was. It fails with ErrLiving, and removes nothing, as Leftovers does.
	Cleanup(ctx context.Context) ([]string, error)
	// Yield is Cleanup for who is about to steer by another backend: it removes
	// nothing if there are no rules of this one, since routing and settings are
	// then for that other one to take over.
	Yield(ctx context.Context) ([]string, error)
	// Leave takes back what this or an earlier process has put in force, but for
	// what Steering.Closed refuses by: it is for when nobody has said that it is
	// over.
	Leave(ctx context.Context) error
	// Remember gives it a second place for what settings were; see Memory.
	Remember(m Memory)
	// Close takes everything back, and closes the Steerer.
	Close() error
	// Abandon closes the Steerer and takes nothing back.
	Abandon() error
}

// Backends are the names that OpenBackend knows on this system, the best first.
func Backends() []string { return backendsOf(runtime.GOOS) }

// ByPF reports whether this system's packets are steered by pf, or as by pf: for a
// helper that is root.
func ByPF() bool { return slices.Contains(Backends(), "pf") }

func backendsOf(system string) []string {
	switch system {
	case "darwin", "openbsd":
		return []string{"pf"}
	case "freebsd":
		return []string{"pf", "ipfw"}
	}
	return []string{"nft", "iptables"}
}

// OpenBackend opens a backend by its name. log gets what an operator should
// know; nil is silence.
func OpenBackend(name string, log *slog.Logger) (Steerer, error) {
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	switch name {
	case "nft":
		k, err := Open(log)
		if err != nil {
			return nil, err // not a nil *Kernel in an interface
		}
		return k, nil
	case "iptables":
		x, err := OpenIPTables(log)
		if err != nil {
			return nil, err
		}
		return x, nil
	case "pf":
		return openPF(log)
	case "ipfw":
		return openIPFW(log)
	}
	return nil, fmt.Errorf("there is no backend %q", name)
}

// Mend has all backends but one remove what an earlier run has left behind: it is
// for who is about to steer by that one, and knows that nobody else is at work.
// What can't be cleaned up is told, and only if it belongs to a process that
// lives it is an error.
func Mend(ctx context.Context, but string, log *slog.Logger) error {
	for _, name := range Backends() {
		if name == but {
			continue
		}
		lines, err := yield(ctx, name, log)
		for _, line := range lines {
			log.Warn("an earlier run has left something behind, which is removed", "what", line)
		}
		switch {
		case errors.Is(err, ErrLiving):
			return err
		case err != nil:
			log.Warn("can't remove what an earlier run may have left behind; run transom cleanup as root", "backend", name, "err", err)
		}
	}
	return nil
}

// yield is Yield by a backend, if that works here.
func yield(ctx context.Context, name string, log *slog.Logger) ([]string, error) {
	s, err := OpenBackend(name, log)
	if err != nil {
		log.Debug("can't look for what was left", "backend", name, "err", err)
		return nil, nil
	}
	lines, err := s.Yield(ctx)
	return lines, errors.Join(err, s.Abandon())
}
