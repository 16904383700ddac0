package steer

import (
	"fmt"
	"log/slog"
)

// Remember has g keep its notes in m as well, and take what is there for an earlier
// run's. It is called before anything else.
func (g *ground) Remember(m Memory) { g.memory = m }

// memorizeLocked keeps what settings were, before they change.
func (g *ground) memorizeLocked(was []change) error {
	if g.memory == nil {
		return nil
	}
	var lines []string
	for _, c := range was {
		lines = append(lines, c.String())
	}
	if err := g.memory.Keep(lines); err != nil {
		return fmt.Errorf("keep the settings of before: %w", err)
	}
	return nil
}

// recallLocked returns what is remembered, and what of the notes in the kernel is
// not, of the settings that are still as they were left. A memory that fails is
// done without.
func (g *ground) recallLocked(notes []change, log *slog.Logger) []change {
	if g.memory == nil {
		return g.settings.stillOurs(notes)
	}
	lines, err := g.memory.Recall()
	if err != nil {
		log.Warn("can't read what settings of the kernel were before; what nftables or iptables has of it is used", "err", err)
	}
	var all []change
	for _, line := range lines {
		if c, ok := parseChange(line); ok {
			all = append(all, c)
		}
	}
	for _, c := range notes {
		if _, ok := find(all, c.key); !ok {
			all = append(all, c)
		}
	}
	return g.settings.stillOurs(all)
}
