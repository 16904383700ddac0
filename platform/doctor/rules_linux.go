package doctor

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"github.com/vishvananda/netlink"

	"transom/platform"
	"transom/platform/nft"
	"transom/platform/steer"
)

// Priorities of what captures, see package steer.
const (
	tproxying   = -300
	redirecting = -110
	marking     = -150
)

// readRules asks what the rules of others would do with packets that matter.
func (m *Machine) readRules() {
	if !m.Admin {
		return
	}
	conn, err := nft.Dial()
	if err != nil {
		m.RulesErr = err
		return
	}
	defer conn.Close()
	r, err := conn.Ruleset()
	if err != nil {
		m.RulesErr = err
		return
	}
	tables, err := conn.Tables()
	if err != nil {
		m.RulesErr = err
		return
	}
	m.methodInForce(r)
	m.interfacesInForce(r)
	m.Docker = slices.ContainsFunc(r.Chains, func(c nft.ChainInfo) bool { return c.Name == "DOCKER-USER" && c.Family == nft.IPv4 })
	for _, iface := range m.Steering.Interfaces {
		for _, p := range m.samples(iface) {
			m.ask(r, iface, p)
		}
	}
	for i := range m.Obstacles {
		o := &m.Obstacles[i]
		o.Owned = slices.ContainsFunc(tables, func(t nft.TableInfo) bool {
			return t.Family == o.Chain.Family && t.Name == o.Chain.Table && t.Owned
		})
		if o.Port != 0 && (o.Deed == nft.Redirected || o.Deed == nft.Diverted) {
			if l := listenersOn(o.Port, nil); len(l) > 0 {
				o.Listener, o.ByHand = l[0].String(), l[0].Name == transom
			}
		}
	}
	m.Flowtables, _ = conn.Flowtables() // an old kernel has none
}

// methodInForce is that of the transom that runs: it may have chosen.
func (m *Machine) methodInForce(r *nft.Ruleset) {
	for _, c := range r.Chains {
		if m.Running == nil || !steer.IsOurs(c.Family, c.Table) || c.Name != "capture" {
			continue
		}
		if m.Steering.Method = platform.TPROXY; c.Type == "nat" {
			m.Steering.Method = platform.Redirect
		}
	}
}

// interfacesInForce are those that the transom that runs captures at, if nobody named
// any: one that came later is none.
func (m *Machine) interfacesInForce(r *nft.Ruleset) {
	i := slices.IndexFunc(r.Chains, func(c nft.ChainInfo) bool { return steer.IsOurs(c.Family, c.Table) && c.Name == "capture" })
	if m.Running == nil || m.named || i < 0 {
		return
	}
	taken := slices.DeleteFunc(slices.Clone(m.Steering.Interfaces), func(iface string) bool {
		return !slices.ContainsFunc(m.samples(iface), func(p nft.Packet) bool {
			return slices.ContainsFunc(r.Fates(r.Chains[i], p), func(f nft.Fate) bool { return f.Deed == nft.Diverted || f.Deed == nft.Redirected })
		})
	})
	if len(taken) > 0 { // else new connections go direct for now, or the samples are excluded
		m.Steering.Interfaces = taken
	}
}

// samples are the openings of connections that clients behind an interface could
// send, one of each family to each port that a rule may be about.
func (m *Machine) samples(iface string) (list []nft.Packet) {
	p := nft.Packet{IIF: iface, IIFIndex: indexOf(iface), Proto: nft.TCP}
	networks := m.Steering.From
	if len(networks) == 0 {
		networks, _ = steer.Networks([]string{iface}) // none: then of any
	}
	for _, f := range [...]struct{ anybody, server string }{{"192.168.0.0/16", "198.41.0.4"}, {"2000::/3", "2001:503:ba3e::2:30"}} {
		p.Dst = netip.MustParseAddr(f.server)
		i := slices.IndexFunc(networks, func(n netip.Prefix) bool { return n.Addr().Is4() == p.Dst.Is4() })
		if i < 0 && len(networks) > 0 {
			continue
		}
		n := netip.MustParsePrefix(f.anybody)
		if i >= 0 {
			n = networks[i]
		}
		p.Src = m.inNetwork(n)
		for _, p.DPort = range m.sampled() {
			list = append(list, p)
		}
	}
	return list
}

// mostSampled is how many ports are tried: rules are read anew for each.
const mostSampled = 8

// sampled are HTTPS's port and HTTP's, if they are captured, and where the ranges
// that are begin.
func (m *Machine) sampled() (list []uint16) {
	for _, port := range []uint16{443, 80} {
		if m.captured(port) {
			list = append(list, port)
		}
	}
	for _, r := range m.Steering.Ports {
		if len(list) < mostSampled && !slices.Contains(list, r.First) {
			list = append(list, r.First)
		}
	}
	return list
}

// inNetwork is an address of a network that is not this host's.
func (m *Machine) inNetwork(n netip.Prefix) netip.Addr {
	a := n.Masked().Addr()
	for range 8 {
		next := a.Next()
		if !n.Contains(next) {
			break
		}
		a = next
		if !slices.ContainsFunc(m.Links, func(l steer.Link) bool {
			return slices.ContainsFunc(l.Addresses, func(p netip.Prefix) bool { return p.Addr() == a })
		}) {
			break
		}
	}
	return a
}

func indexOf(iface string) int {
	l, err := netlink.LinkByName(iface)
	if err != nil {
		return 0
	}
	return l.Attrs().Index
}

// ask follows a packet past all chains of others.
func (m *Machine) ask(r *nft.Ruleset, iface string, p nft.Packet) {
	for _, c := range r.Chains {
		if c.Type == "" || !concerns(c, &p) || steer.IsOurs(c.Family, c.Table) {
			continue
		}
		o := Obstacle{Interface: iface}
		p := p
		switch {
		case c.Family == nft.Netdev:
			if c.Device != iface {
				continue
			}
		case c.Hook == nft.Prerouting:
			o.Late = m.late(c)
			if o.Late && m.tproxies() && c.Type == "nat" {
				// It is not tracked, and sees no such chain.
			} else if o.Late && m.tproxies() {
				p.Mark = m.marks().In
			}
		case c.Hook == nft.Forward:
			o.Place = Across
			p.DPort = 22
			if p.OIF = m.wayOut(); p.OIF == "" || m.captured(p.DPort) {
				continue
			}
			p.OIFIndex = indexOf(p.OIF)
		case c.Hook == nft.Input && m.Running != nil && c.Priority > marking:
			o.Place, p.Mark = Delivered, m.marks().In
			if !m.tproxies() {
				p.DPort = m.Steering.Port
			}
		case c.Hook == nft.Output && m.Running != nil && c.Priority >= tproxying:
			o.Place, p.Mark, p.IIF, p.IIFIndex = Sent, m.marks().Upstream, "", 0
			if p.OIF = m.wayOut(); p.OIF == "" {
				continue
			}
			p.OIFIndex = indexOf(p.OIF)
		default:
			continue
		}
		for _, f := range r.Fates(c, p) {
			if strings.HasPrefix(f.Rule.Chain, "TRANSOM_") { // by iptables
				continue
			}
			o.Fate = f
			m.addObstacle(o)
		}
	}
}

// addObstacle adds one, once for both families.
func (m *Machine) addObstacle(o Obstacle) {
	if !slices.ContainsFunc(m.Obstacles, func(old Obstacle) bool {
		return old.Chain == o.Chain && old.Rule == o.Rule && old.Deed == o.Deed && old.Interface == o.Interface
	}) {
		m.Obstacles = append(m.Obstacles, o)
	}
}

func concerns(c nft.ChainInfo, p *nft.Packet) bool {
	family := nft.IPv4
	if p.Dst.Is6() {
		family = nft.IPv6
	}
	return c.Family == nft.Inet || c.Family == nft.Netdev || c.Family == family
}

// late reports whether a chain comes after ours.
func (m *Machine) late(c nft.ChainInfo) bool {
	if m.tproxies() {
		return c.Priority > tproxying || c.Type == "nat"
	}
	return c.Priority > redirecting
}

// wayOut is where what is forwarded leaves.
func (m *Machine) wayOut() string {
	for _, l := range m.Links {
		if l.Default && l.Up {
			return l.Name
		}
	}
	return ""
}

// captured reports whether a port is captured, so that it says nothing of others.
func (m *Machine) captured(port uint16) bool {
	return len(m.Steering.Ports) == 0 || slices.ContainsFunc(m.Steering.Ports, func(r platform.PortRange) bool { return r.First <= port && port <= r.Last })
}

// String names who listens.
func (l Listener) String() string {
	if l.PID == 0 {
		return fmt.Sprintf("port %d", l.Addr.Port())
	}
	return fmt.Sprintf("%s (process %d, port %d)", l.Name, l.PID, l.Addr.Port())
}
