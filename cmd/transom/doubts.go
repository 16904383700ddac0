package main

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"transom"
	"transom/egress"
	"transom/platform/steer"
)

// doubt warns of what is possible, and likely a mistake: nothing would be captured, or
// no server would be reached.
func (f *gatewayFlags) doubt(p *transom.Proxy) error {
	f.doubtInterfaces(p)
	if err := f.doubtFrom(p); err != nil {
		return err
	}
	if p.Spoof.Mode() != egress.SpoofFixed || !p.Steering.Spoof {
		return nil
	}
	inward, err := steer.Inward(p.Spoof.Addr())
	if err == nil && !inward {
		p.Log.Warn(fmt.Sprintf("--spoof-source %s: answers come back only if routers send them here, and this host has no route that says so", p.Spoof))
	}
	return err
}

// doubtInterfaces is for the way out, named where clients are likely behind
// another interface.
func (f *gatewayFlags) doubtInterfaces(p *transom.Proxy) {
	likely, _, err := steer.Choose(f.links, nil)
	if err != nil || len(f.interfaces) == 0 {
		return
	}
	for _, l := range f.links {
		if l.Default && slices.Contains(p.Steering.Interfaces, l.Name) && !slices.Contains(likely, l.Name) {
			p.Log.Warn(fmt.Sprintf("%s is the way out; devices look to be behind %s", l.Name, strings.Join(likely, ", ")))
		}
	}
}

// doubtFrom is for clients that are not behind the interfaces.
func (f *gatewayFlags) doubtFrom(p *transom.Proxy) error {
	s := &p.Steering
	if slices.ContainsFunc(f.links, func(l steer.Link) bool { return l.Default && slices.Contains(s.Interfaces, l.Name) }) {
		return nil // anybody is there
	}
	if len(s.From) == 0 || len(s.Interfaces) == 0 {
		return nil
	}
	behind, err := steer.Networks(s.Interfaces)
	if err != nil {
		return err
	}
	for _, from := range s.From {
		if !slices.ContainsFunc(behind, func(n netip.Prefix) bool { return n.Overlaps(from) }) {
			p.Log.Warn(fmt.Sprintf("--from %s: no such device is behind %s, as far as routes tell: there is %s",
				words([]netip.Prefix{from}), strings.Join(s.Interfaces, ", "), words(behind)))
		}
	}
	return nil
}
