package doctor

import (
	"encoding/binary"
	"net/netip"
	"slices"

	"transom/platform"
)

// A frame is what was seen at an interface, without its link layer's header.
type frame struct {
	Interface string
	Out       bool   // this host has sent it
	ToAll     bool   // it was sent to all or many
	Protocol  uint16 // of Ethernet
	Data      []byte
}

// Protocols of Ethernet and of IP.
const (
	etherIPv4 = 0x0800
	etherARP  = 0x0806
	etherIPv6 = 0x86dd

	protoICMP  = 1
	protoTCP   = 6
	protoUDP   = 17
	protoICMP6 = 58
)

// A datagram is what matters of a packet of IP.
type datagram struct {
	src, dst     netip.Addr
	proto        byte
	sport, dport uint16
	syn, ack     bool // of TCP
	icmp         byte // its type
}

// parse reads a packet. What is a later fragment, or has extensions before what is
// looked for, is passed over.
func parse(b []byte) (d datagram, ok bool) {
	var rest []byte
	switch {
	case len(b) >= 20 && b[0]>>4 == 4:
		size := int(b[0]&15) * 4
		if size < 20 || len(b) < size || binary.BigEndian.Uint16(b[6:])&0x1fff != 0 {
			return d, false
		}
		d.src, d.dst = netip.AddrFrom4([4]byte(b[12:])), netip.AddrFrom4([4]byte(b[16:]))
		d.proto, rest = b[9], b[size:]
	case len(b) >= 40 && b[0]>>4 == 6:
		d.src, d.dst = netip.AddrFrom16([16]byte(b[8:])), netip.AddrFrom16([16]byte(b[24:]))
		d.proto, rest = b[6], b[40:]
	default:
		return d, false
	}
	switch d.proto {
	case protoTCP:
		if len(rest) < 14 {
			return d, false
		}
		d.syn, d.ack = rest[13]&2 != 0, rest[13]&16 != 0
		fallthrough
	case protoUDP:
		if len(rest) < 4 {
			return d, false
		}
		d.sport, d.dport = binary.BigEndian.Uint16(rest), binary.BigEndian.Uint16(rest[2:])
	case protoICMP, protoICMP6:
		if len(rest) < 1 {
			return d, false
		}
		d.icmp = rest[0]
	}
	return d, true
}

// Bounds on what is remembered.
const (
	mostFlows   = 4096
	mostDevices = 1024
)

// A watcher makes Traffic of frames.
type watcher struct {
	*Traffic
	inward func(iface string) bool // clients are behind it
	own    func(netip.Addr) bool
	ports  []platform.PortRange

	devices map[netip.Addr]*device
	flows   map[flowKey]*flow
	asked   map[netip.AddrPort]bool // servers of QUIC
	through map[netip.AddrPort]bool // those that were reached
	near    map[netip.Addr]string   // who speaks on the clients' networks, and where
}

type device struct {
	iface    string
	captured int // openings of connections to captured ports
}

type flowKey struct{ client, server netip.AddrPort }

// A flow is what was seen of a connection from a client to a server.
type flow struct {
	opened int  // how often it was asked for
	goesOn bool // the client has sent more, as one does that was answered
	back   bool // something came back to the client by us

	sent     int  // how often we have asked the server, as the client
	answered bool // the server has answered that
}

func newWatcher(inward func(string) bool, own func(netip.Addr) bool, ports []platform.PortRange) *watcher {
	return &watcher{
		Traffic: &Traffic{Redirects: map[string]int{}}, inward: inward, own: own, ports: ports,
		devices: map[netip.Addr]*device{}, flows: map[flowKey]*flow{},
		asked: map[netip.AddrPort]bool{}, through: map[netip.AddrPort]bool{}, near: map[netip.Addr]string{},
	}
}

// add looks at a frame.
func (w *watcher) add(f frame) {
	if f.Protocol == etherARP {
		if a, ok := arpSender(f.Data); ok && !f.Out && w.inward(f.Interface) {
			w.neighbour(f.Interface, a)
		}
		return
	}
	d, ok := parse(f.Data)
	if !ok {
		return
	}
	const redirect4, redirect6 = 5, 137
	switch {
	case f.Out && (d.proto == protoICMP && d.icmp == redirect4 || d.proto == protoICMP6 && d.icmp == redirect6):
		w.Redirects[f.Interface]++
	case f.ToAll || d.dst.IsMulticast() || d.dst.IsLinkLocalUnicast() || d.src.IsLinkLocalUnicast() || !d.src.IsGlobalUnicast():
		if !f.Out && w.inward(f.Interface) && d.src.IsGlobalUnicast() {
			w.neighbour(f.Interface, d.src)
		}
	case f.Out:
		w.out(f.Interface, &d)
	default:
		w.in(f.Interface, &d)
	}
}

// in is a packet that came to this host, and is for another.
func (w *watcher) in(iface string, d *datagram) {
	from, to := d.ends()
	if f := w.flows[flowKey{to, from}]; f != nil && f.sent > 0 {
		f.answered = true // from the server, to a client's address
	}
	if !w.inward(iface) || w.own(d.src) {
		return
	}
	if w.own(d.dst) {
		w.neighbour(iface, d.src)
		return
	}
	dev := w.device(iface, d.src)
	if dev == nil {
		return
	}
	switch {
	case d.proto == protoUDP && d.dport == 443 && len(w.asked) < mostFlows:
		w.asked[to] = true
	case d.proto == protoTCP && w.captures(d.dport):
		f := w.flow(flowKey{from, to})
		if d.syn && !d.ack {
			dev.captured++
		}
		if f == nil {
			return
		}
		if d.syn && !d.ack {
			f.opened++
		} else {
			f.goesOn = true
		}
	}
}

// out is a packet that this host sends on.
func (w *watcher) out(iface string, d *datagram) {
	from, to := d.ends()
	switch {
	case d.proto == protoUDP && w.asked[to]:
		w.through[to] = true
	case d.proto == protoTCP && w.captures(d.dport) && !w.own(d.src):
		if f := w.flow(flowKey{from, to}); f != nil && d.syn && !d.ack {
			f.sent++
		}
	case d.proto == protoTCP:
		if f := w.flows[flowKey{to, from}]; f != nil && w.inward(iface) {
			f.back = true
		}
	}
}

func (d *datagram) ends() (from, to netip.AddrPort) {
	return netip.AddrPortFrom(d.src, d.sport), netip.AddrPortFrom(d.dst, d.dport)
}

func (w *watcher) captures(port uint16) bool {
	return len(w.ports) == 0 || slices.ContainsFunc(w.ports, func(r platform.PortRange) bool { return r.First <= port && port <= r.Last })
}

func (w *watcher) device(iface string, a netip.Addr) *device {
	d := w.devices[a]
	if d == nil && len(w.devices) < mostDevices {
		d = &device{iface: iface}
		w.devices[a] = d
	}
	return d
}

// flow returns what is known of a connection; it may begin in the middle.
func (w *watcher) flow(k flowKey) *flow {
	f := w.flows[k]
	if f == nil && len(w.flows) < mostFlows {
		f = &flow{}
		w.flows[k] = f
	}
	return f
}

func (w *watcher) neighbour(iface string, a netip.Addr) {
	if len(w.near) < mostDevices && !w.own(a) && a.IsGlobalUnicast() {
		w.near[a] = iface
	}
}

// stray notes a device that is not where a route says. Who asks for an address is one
// too: strict filtering leaves it without an answer.
func (w *watcher) stray(a netip.Addr, iface, route string) {
	if route != "" && route != iface {
		w.Strays = append(w.Strays, Stray{From: a, Interface: iface, Route: route})
	}
}

// arpSender reads who sends an ARP packet for Ethernet and IPv4.
func arpSender(b []byte) (netip.Addr, bool) {
	if len(b) < 28 || binary.BigEndian.Uint16(b[2:]) != etherIPv4 || b[4] != 6 || b[5] != 4 {
		return netip.Addr{}, false
	}
	return netip.AddrFrom4([4]byte(b[14:])), true
}

// sum is what it comes to. route tells by which interface an address is reached.
func (w *watcher) sum(route func(netip.Addr) string) *Traffic {
	for a, d := range w.devices {
		w.Through = append(w.Through, a)
		if d.captured > 0 {
			w.Captured = append(w.Captured, a)
		}
		w.stray(a, d.iface, route(a))
	}
	for a, iface := range w.near {
		if w.devices[a] == nil {
			w.Aside = append(w.Aside, a)
			w.stray(a, iface, route(a))
		}
	}
	for k, f := range w.flows {
		switch {
		case f.opened == 0 && f.sent == 0: // it was open before
		case f.goesOn && !f.back && !f.answered:
			w.OneWay = append(w.OneWay, k.client.Addr())
		case f.opened > 1 && !f.back && f.sent == 0:
			w.Unanswered = append(w.Unanswered, k.client.Addr())
		case f.back && f.sent > 1 && !f.answered:
			w.Unreturned = append(w.Unreturned, k.client.Addr())
		}
	}
	for a := range w.through {
		w.QUIC = append(w.QUIC, a)
	}
	for _, list := range []*[]netip.Addr{&w.Through, &w.Captured, &w.Aside, &w.OneWay, &w.Unanswered, &w.Unreturned} {
		slices.SortFunc(*list, netip.Addr.Compare)
		*list = slices.Compact(*list)
	}
	slices.SortFunc(w.QUIC, netip.AddrPort.Compare)
	slices.SortFunc(w.Strays, func(a, b Stray) int { return a.From.Compare(b.From) })
	return w.Traffic
}
