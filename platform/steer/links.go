package steer

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
)

// A Link is one of the host's network interfaces, as far as it matters for
// finding those that clients are behind.
type Link struct {
	Name      string
	Up        bool
	Loopback  bool
	Kind      string         // the kernel's word for virtual ones: "bridge", "veth", "tun", "wireguard"; "" is hardware
	Master    string         // the bridge or bond that it is a port of
	Default   bool           // a default route leaves by it
	Addresses []netip.Prefix // its own, with their networks
}

// Choose returns the names of the interfaces to capture at: named, if any is,
// else those that clients may be behind. Containers' bridges are not among
// these, nor what is only the way out, unless it is the only one: then this
// host stands beside its clients' router and forwards out where they came in. why
// names what was left out, for a person to read.
func Choose(links []Link, named []string) (names []string, why string, err error) {
	if len(named) > 0 {
		return check(links, named)
	}
	var left, out []string
	for _, l := range links {
		switch reason := unlikely(l, links); {
		case reason != "":
			left = append(left, l.Name+" ("+reason+")")
		case l.Default:
			out = append(out, l.Name)
		default:
			names = append(names, l.Name)
		}
	}
	if len(names) == 0 {
		names, out = out, nil
	}
	for _, name := range out {
		left = append(left, name+" (the way out)")
	}
	why = strings.Join(left, ", ")
	if len(names) == 0 {
		return nil, why, fmt.Errorf("no interface looks as if clients were behind it; name one with --interface, of %s", all(links))
	}
	return names, why, nil
}

// check makes sure that the named interfaces are there.
func check(links []Link, named []string) ([]string, string, error) {
	var names []string
	for _, name := range named {
		i := slices.IndexFunc(links, func(l Link) bool { return l.Name == name })
		switch {
		case i < 0:
			return nil, "", fmt.Errorf("there is no interface %q; there are %s", name, all(links))
		case links[i].Loopback:
			return nil, "", fmt.Errorf("no client is behind %s; what this host's own programs send is captured with --local", name)
		case !slices.Contains(names, name):
			names = append(names, name)
		}
	}
	return names, "", nil
}

func all(links []Link) string {
	names := make([]string, len(links))
	for i, l := range links {
		names[i] = l.Name
	}
	return strings.Join(names, ", ")
}

// unlikely says why clients are not behind l, "" if they may be.
func unlikely(l Link, links []Link) string {
	switch {
	case l.Loopback:
		return "loopback"
	case !l.Up:
		return "down"
	case l.Master != "":
		return "a port of " + l.Master
	case l.Kind == "veth":
		return "a container's"
	case l.Kind == "bridge" && !outside(l.Name, links):
		return "a bridge of containers or virtual machines"
	case len(l.Addresses) == 0:
		return "no address"
	}
	return ""
}

// outside reports whether a bridge has a port that leads out of this host.
func outside(bridge string, links []Link) bool {
	return slices.ContainsFunc(links, func(l Link) bool {
		return l.Master == bridge && !slices.Contains([]string{"veth", "tun", "dummy"}, l.Kind)
	})
}

// errNoNetworks is for interfaces without addresses and routes.
var errNoNetworks = errors.New("no network is routed by these interfaces")
