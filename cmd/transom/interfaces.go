package main

import (
	"errors"
	"slices"
	"strings"

	"transom"
	"transom/platform"
	"transom/platform/helper"
	"transom/platform/steer"
)

// An inward is what is known of this host's interfaces, and which of them were
// left out, if none was named.
type inward struct {
	links   []steer.Link
	leftOut []steer.LeftOut
}

// find gives s the interfaces that clients are behind. If none was named they are
// looked for; where there are none, what this host sends is captured alone, if that was
// asked for, and no option, as assumes says of --spoof-source, speaks of clients.
func (f *captureFlags) find(s *platform.Steering, assumes bool) (in inward, err error) {
	if f.noInterface() {
		return in, nil
	}
	if in.links, err = steer.Links(); err != nil {
		return in, err
	}
	s.Interfaces, in.leftOut, err = steer.Choose(in.links, f.interfaces)
	switch {
	case errors.Is(err, steer.ErrNoClients) && f.local && len(f.from) == 0 && !assumes && f.method != "tproxy":
		return in, nil
	case err != nil && !errors.Is(err, steer.ErrNoClients):
		return in, &usageError{err}
	}
	return in, err
}

// missed says which interfaces were left out though clients may be behind them. Where
// the way out is all there is, so that clients may be expected elsewhere, it is
// each one, and why.
func (in *inward) missed(chosen []string) (lines []string) {
	alone := len(in.leftOut) > 0 && len(chosen) > 0 && !slices.ContainsFunc(chosen, func(name string) bool { return !in.link(name).Default })
	if alone {
		lines = append(lines, strings.Join(chosen, ", ")+" is the way out, too: devices there are captured if they have this host as their gateway")
	}
	left := slices.DeleteFunc(slices.Clone(in.leftOut), func(l steer.LeftOut) bool {
		return l.Plain && !(alone && expected(in.link(l.Name)))
	})
	if len(left) > 0 {
		lines = append(lines, "not captured: what comes in by "+join(left)+"; --interface says otherwise")
	}
	return lines
}

// expected reports whether somebody may expect clients behind an interface that is down.
func expected(l steer.Link) bool {
	return !l.Up && !l.Loopback && l.Master == "" && slices.Contains([]string{"", "veth", "bridge", "bond", "team", "vlan"}, l.Kind)
}

func (in *inward) link(name string) steer.Link {
	i := slices.IndexFunc(in.links, func(l steer.Link) bool { return l.Name == name })
	if i < 0 {
		return steer.Link{}
	}
	return in.links[i]
}

// A watchedHost is a helper's, whose interfaces are watched.
type watchedHost struct {
	*helper.Client
	stop func() error
}

// watched has the log say what becomes of the interfaces that are captured at.
func watched(host *helper.Client, p *transom.Proxy) (platform.Host, error) {
	stop, err := steer.WatchLinks(p.Steering.Interfaces, p.Log)
	if err != nil {
		return nil, errors.Join(err, host.Close())
	}
	return &watchedHost{host, stop}, nil
}

// Close implements platform.Host.
func (h *watchedHost) Close() error { return errors.Join(h.stop(), h.Client.Close()) }
