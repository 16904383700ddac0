package doctor

import (
	"encoding/binary"
	"fmt"
	"net/netip"
	"slices"
	"testing"

	"transom/platform"
)

var (
	gatewayAddr = netip.MustParseAddr("192.168.1.1")
	phone       = netip.MustParseAddrPort("192.168.1.2:40000")
	shop        = netip.MustParseAddrPort("198.51.100.7:443")
	phone6      = netip.MustParseAddrPort("[fd01::2]:40000")
	shop6       = netip.MustParseAddrPort("[2001:db8::7]:443")
)

// packet builds a packet of IP; flags are TCP's.
func packet(from, to netip.AddrPort, proto, flags byte) []byte {
	head := make([]byte, 40)
	if from.Addr().Is4() {
		head = head[:20]
		head[0], head[9] = 0x45, proto
		copy(head[12:], from.Addr().AsSlice())
		copy(head[16:], to.Addr().AsSlice())
	} else {
		head[0], head[6] = 0x60, proto
		copy(head[8:], from.Addr().AsSlice())
		copy(head[24:], to.Addr().AsSlice())
	}
	rest := make([]byte, 20)
	if proto == protoTCP || proto == protoUDP {
		binary.BigEndian.PutUint16(rest, from.Port())
		binary.BigEndian.PutUint16(rest[2:], to.Port())
		rest[13] = flags
	} else {
		rest[0] = flags // the type
	}
	return append(head, rest...)
}

const (
	syn = 2
	ack = 16
)

func TestWatcher(t *testing.T) {
	in := func(b []byte) frame { return frame{Interface: "lan0", Data: b} }
	out := func(b []byte) frame { return frame{Interface: "lan0", Out: true, Data: b} }
	up := func(b []byte) frame { return frame{Interface: "wan0", Out: true, Data: b} }
	down := func(b []byte) frame { return frame{Interface: "wan0", Data: b} }
	tcp := func(from, to netip.AddrPort, flags byte) []byte { return packet(from, to, protoTCP, flags) }
	udp := func(from, to netip.AddrPort) []byte { return packet(from, to, protoUDP, 0) }
	other := netip.AddrPortFrom(shop.Addr(), 22)
	arp := make([]byte, 28)
	binary.BigEndian.PutUint16(arp[2:], etherIPv4)
	arp[4], arp[5] = 6, 4
	copy(arp[14:], phone.Addr().AsSlice())
	for _, c := range []struct {
		name   string
		frames []frame
		want   string
	}{
		{"nothing", nil, "through [] captured [] aside [] oneway [] unanswered [] unreturned [] quic [] strays []"},
		{"captured", []frame{in(tcp(phone, shop, syn)), out(tcp(shop, phone, syn|ack)), in(tcp(phone, shop, ack))}, "through [192.168.1.2] captured [192.168.1.2] aside [] oneway [] unanswered [] unreturned [] quic [] strays []"},
		{"captured-6", []frame{in(tcp(phone6, shop6, syn)), out(tcp(shop6, phone6, syn|ack)), in(tcp(phone6, shop6, ack))}, "through [fd01::2] captured [fd01::2] aside [] oneway [] unanswered [] unreturned [] quic [] strays []"},
		{"other-ports", []frame{in(tcp(phone, other, syn)), up(tcp(phone, other, syn))}, "through [192.168.1.2] captured [] aside [] oneway [] unanswered [] unreturned [] quic [] strays []"},
		{"only-arp", []frame{{Interface: "lan0", ToAll: true, Protocol: etherARP, Data: arp}}, "through [] captured [] aside [192.168.1.2] oneway [] unanswered [] unreturned [] quic [] strays []"},
		{"to-us", []frame{in(tcp(phone, netip.AddrPortFrom(gatewayAddr, 53), syn))}, "through [] captured [] aside [192.168.1.2] oneway [] unanswered [] unreturned [] quic [] strays []"},
		{"one-way", []frame{in(tcp(phone, shop, syn)), up(tcp(phone, shop, syn)), in(tcp(phone, shop, ack)), up(tcp(phone, shop, ack))}, "through [192.168.1.2] captured [192.168.1.2] aside [] oneway [192.168.1.2] unanswered [] unreturned [] quic [] strays []"},
		{"both-ways", []frame{in(tcp(phone, shop, syn)), up(tcp(phone, shop, syn)), down(tcp(shop, phone, syn|ack)), out(tcp(shop, phone, syn|ack)), in(tcp(phone, shop, ack))}, "through [192.168.1.2] captured [192.168.1.2] aside [] oneway [] unanswered [] unreturned [] quic [] strays []"},
		{"open-before", []frame{in(tcp(phone, shop, ack))}, "through [192.168.1.2] captured [] aside [] oneway [] unanswered [] unreturned [] quic [] strays []"},
		{"unanswered", []frame{in(tcp(phone, shop, syn)), in(tcp(phone, shop, syn))}, "through [192.168.1.2] captured [192.168.1.2] aside [] oneway [] unanswered [192.168.1.2] unreturned [] quic [] strays []"},
		{"unreturned", []frame{in(tcp(phone, shop, syn)), out(tcp(shop, phone, syn|ack)), up(tcp(phone, shop, syn)), up(tcp(phone, shop, syn))}, "through [192.168.1.2] captured [192.168.1.2] aside [] oneway [] unanswered [] unreturned [192.168.1.2] quic [] strays []"},
		{"quic", []frame{in(udp(phone, shop)), up(udp(phone, shop))}, "through [192.168.1.2] captured [] aside [] oneway [] unanswered [] unreturned [] quic [198.51.100.7:443] strays []"},
		{"quic-translated", []frame{in(udp(phone, shop)), up(udp(netip.MustParseAddrPort("203.0.113.1:5000"), shop))}, "through [192.168.1.2] captured [] aside [] oneway [] unanswered [] unreturned [] quic [198.51.100.7:443] strays []"},
		{"quic-refused", []frame{in(udp(phone, shop)), out(packet(shop, phone, protoICMP, 3))}, "through [192.168.1.2] captured [] aside [] oneway [] unanswered [] unreturned [] quic [] strays []"},
		{"stray", []frame{in(tcp(netip.MustParseAddrPort("10.77.0.5:1"), shop, syn))}, "through [10.77.0.5] captured [10.77.0.5] aside [] oneway [] unanswered [] unreturned [] quic [] strays [{10.77.0.5 lan0 lan1}]"},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := newWatcher(func(name string) bool { return name == "lan0" }, func(a netip.Addr) bool { return a == gatewayAddr },
				[]platform.PortRange{{First: 80, Last: 80}, {First: 443, Last: 443}})
			for _, f := range c.frames {
				w.add(f)
			}
			got := w.sum(func(a netip.Addr) string {
				if a == netip.MustParseAddr("10.77.0.5") {
					return "lan1"
				}
				return "lan0"
			})
			said := fmt.Sprintf("through %v captured %v aside %v oneway %v unanswered %v unreturned %v quic %v strays %v",
				got.Through, got.Captured, got.Aside, got.OneWay, got.Unanswered, got.Unreturned, got.QUIC, got.Strays)
			if said != c.want {
				t.Errorf("%s\nwant %s", said, c.want)
			}
		})
	}
}

func TestWatcherCountsRedirects(t *testing.T) {
	w := newWatcher(func(string) bool { return true }, func(netip.Addr) bool { return false }, nil)
	w.add(frame{Interface: "lan0", Out: true, Data: packet(netip.AddrPortFrom(gatewayAddr, 0), phone, protoICMP, 5)})
	w.add(frame{Interface: "lan0", Data: packet(netip.AddrPortFrom(gatewayAddr, 0), phone, protoICMP, 5)})
	if got := w.sum(func(netip.Addr) string { return "" }).Redirects["lan0"]; got != 1 {
		t.Errorf("%d redirects, want the 1 that was sent", got)
	}
}

// FuzzWatcher gives a watcher any frame, and more than it may remember.
func FuzzWatcher(f *testing.F) {
	f.Add(packet(phone, shop, protoTCP, syn), uint16(etherIPv4), false)
	f.Add(packet(phone6, shop6, protoUDP, 0), uint16(etherIPv6), true)
	f.Add(make([]byte, 28), uint16(etherARP), false)
	f.Fuzz(func(t *testing.T, b []byte, protocol uint16, out bool) {
		w := newWatcher(func(string) bool { return true }, func(netip.Addr) bool { return false }, nil)
		w.add(frame{Interface: "lan0", Out: out, Protocol: protocol, Data: b})
		got := w.sum(func(netip.Addr) string { return "lan0" })
		if len(got.Through)+len(got.Aside) > 1 || slices.ContainsFunc(got.Through, func(a netip.Addr) bool { return !a.IsValid() }) {
			t.Errorf("%+v of one frame", got)
		}
	})
}
