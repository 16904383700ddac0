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

// A LeftOut is an interface that is not captured at, and why.
type LeftOut struct {
	Name, Reason string
	Plain        bool // nobody would expect clients behind it, whatever else there is
}

// String returns both, for a person to read.
func (l LeftOut) String() string { return l.Name + " (" + l.Reason + ")" }

// Choose returns the names of the interfaces to capture at: named, if any is,
// else those that clients may be behind, and what was left out. Containers'
// bridges are not among these, nor what is only the way out, unless it is the only
// one: then this host stands beside its clients' router and forwards out where
// they came in. An error for want of any wraps ErrNoClients.
func Choose(links []Link, named []string) (names []string, left []LeftOut, err error) {
	if len(named) > 0 {
		names, err = check(links, named)
		return names, nil, err
	}
	var out []string
	for _, l := range links {
		switch reason, plain := unlikely(l, links); {
		case reason != "":
			left = append(left, LeftOut{l.Name, reason, plain})
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
		left = append(left, LeftOut{Name: name, Reason: "the way out"})
	}
	if len(names) == 0 {
		return nil, left, fmt.Errorf("%w: %s; name one with --interface", ErrNoClients, list(left))
	}
	return names, left, nil
}

// ErrNoClients is wrapped by Choose's error when there is nothing to choose.
var ErrNoClients = errors.New("no interface looks as if clients were behind it")

func list(left []LeftOut) string {
	words := make([]string, len(left))
	for i, l := range left {
		words[i] = l.String()
	}
	return strings.Join(words, ", ")
}

// check makes sure that the named interfaces are there.
func check(links []Link, named []string) (names []string, err error) {
	for _, name := range named {
		i := slices.IndexFunc(links, func(l Link) bool { return l.Name == name })
		switch {
		case i < 0:
			return nil, fmt.Errorf("there is no interface %q; there are %s", name, all(links))
		case links[i].Loopback:
			return nil, fmt.Errorf("no client is behind %s; what this host's own programs send is captured with --local", name)
		case !slices.Contains(names, name):
			names = append(names, name)
		}
	}
	return names, nil
}

func all(links []Link) string {
	names := make([]string, len(links))
	for i, l := range links {
		names[i] = l.Name
	}
	return strings.Join(names, ", ")
}

// unlikely says why clients are not behind l, "" if they may be; plain is for
// what nobody asks about.
func unlikely(l Link, links []Link) (why string, plain bool) {
	switch {
	case l.Loopback:
		return "loopback", true
	case !l.Up:
		return "down", true
	case l.Master != "":
		return "a port of " + l.Master, true
	case l.Default: // the way out is nobody's but ours, of whatever kind
	case l.Kind == "veth" && !contained(links):
		return "a container's", false
	case l.Kind == "bridge" && !outside(l.Name, links):
		return "a bridge for containers or virtual machines", false
	}
	if len(l.Addresses) == 0 {
		return "no address", false
	}
	return "", false
}

// contained reports whether this host is itself a container or a namespace: it
// has no hardware, and a veth is its network card.
func contained(links []Link) bool {
	return !slices.ContainsFunc(links, func(l Link) bool { return l.Kind == "" && !l.Loopback })
}

// outside reports whether a bridge has a port that leads out of this host.
func outside(bridge string, links []Link) bool {
	return slices.ContainsFunc(links, func(l Link) bool {
		return l.Master == bridge && !slices.Contains([]string{"veth", "tun", "dummy"}, l.Kind)
	})
}

// errNoNetworks is for interfaces without addresses and routes.
var errNoNetworks = errors.New("no network is routed by these interfaces")
