package steer

import (
	"errors"
	"slices"

	"transom/platform"
)

// A ground is what every backend stands on beside its packet filter: routing by
// our mark, and the kernel's settings with what they were. The backend's lock
// guards it.
type ground struct {
	routes   *routes
	settings *settings
	now      platform.Steering // what is in force, but for lifted and held
	lifted   bool              // others take away again and again what captured connections need
	held     bool              // what is brought would get lost, as things are
	leaving  bool              // it is being taken back; if that fails the rest is not to come back
	was      []change          // settings that we changed, in the order of taking them back
	memory   Memory            // nil if there is none
	pace     pace
}

// open opens it for the network namespace of the calling thread.
func (g *ground) open() (err error) {
	if g.routes, err = openRoutes(); err != nil {
		return err
	}
	g.settings, err = openSettings()
	return err
}

// release closes what is open of it.
func (g *ground) release() error {
	if g.routes != nil {
		g.routes.close()
	}
	if g.settings != nil {
		return g.settings.close()
	}
	return nil
}

// A turn leads from the steering that is in force to another.
type turn struct {
	*steering
	plan []change // settings that it wants, as they are to be taken back
	gone []change // those that the steering before it wanted alone
}

// planLocked is the turn to want; nothing has changed yet. Interfaces that were
// there may have gone, which is no reason not to drain.
func (g *ground) planLocked(want platform.Steering) (*turn, error) {
	t := &turn{steering: steeringOf(want)}
	more := slices.DeleteFunc(slices.Clone(t.ifaces), func(n string) bool { return slices.Contains(g.now.Interfaces, n) })
	if err := g.interfaces(more); err != nil {
		return nil, err
	}
	var err error
	if t.plan, err = g.settings.plan(t.ifaces, g.was); err != nil {
		return nil, err
	}
	t.gone = slices.DeleteFunc(slices.Clone(g.was), func(c change) bool {
		_, wanted := find(t.plan, c.key)
		return wanted
	})
	return t, nil
}

// enterLocked makes what the turn needs. keep writes down what settings were,
// before they change.
func (g *ground) enterLocked(t *turn, keep func([]change) error) error {
	g.now, g.leaving, g.lifted = t.Steering, false, false
	was := slices.Concat(t.plan, t.gone)
	if err := g.memorizeLocked(was); err != nil {
		return err
	}
	if err := keep(was); err != nil {
		return err
	}
	g.was = was
	if err := g.settings.set(t.plan); err != nil {
		return err
	}
	if !t.diverts() {
		return nil
	}
	_, err := g.routes.add(t.marks, t.loops(), g.settings.ipv6())
	return err
}

// reenterLocked puts back what of the routing was taken away, and names it.
func (g *ground) reenterLocked() ([]string, error) {
	t := steeringOf(g.now)
	if !t.diverts() {
		return nil, nil
	}
	return g.routes.add(t.marks, t.loops(), g.settings.ipv6())
}

// finishLocked takes back what the steering before needed alone.
func (g *ground) finishLocked(t *turn, keep func([]change) error) error {
	if !t.diverts() {
		if err := g.routes.remove(); err != nil {
			return err
		}
	}
	if len(t.gone) == 0 {
		return nil
	}
	if err := g.settings.restore(t.gone); err != nil {
		return err
	}
	g.was = t.plan
	if err := keep(t.plan); err != nil {
		return err
	}
	return g.memorizeLocked(t.plan)
}

// sweepLocked sees our sockets to their end; see orphans_linux.go.
func (g *ground) sweepLocked() error {
	return g.routes.sweepOrphans(g.now.Marks, !g.now.IsZero())
}

// clearLocked takes everything back that it has. It goes on after a failure.
func (g *ground) clearLocked() error {
	err := g.settings.restore(g.was)
	if err == nil {
		err = g.memorizeLocked(nil)
	}
	return errors.Join(err, g.routes.remove())
}

// clearedLocked forgets what was in force.
func (g *ground) clearedLocked() {
	g.now, g.was, g.leaving, g.lifted, g.held = platform.Steering{}, nil, false, false, false
}

// inForceLocked is what is in force. New connections are not brought while that
// would only lose them: they go direct, or are refused if nothing may.
func (g *ground) inForceLocked() platform.Steering {
	s := g.now
	if (g.lifted || g.held) && !s.Draining {
		s.Draining, s.Refusing = true, s.Closed
	}
	return s
}

// staysLocked reports whether there is something in force that is to stay so.
func (g *ground) staysLocked() bool { return !g.now.IsZero() && !g.leaving }
