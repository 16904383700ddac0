// Package lab builds small networks out of network namespaces: hosts, cables
// between them, and programs that run inside. It needs no root, no ip or nft
// program and no network; nothing of it is visible on the host, and nothing of
// it is left when it is closed or when the process dies. Tests and the demo use
// it. It does not capture anything.
//
// Without the right to make namespaces a program first calls Reexec, which
// starts it anew inside a user namespace of its own.
package lab

import "net/netip"

// An End is one end of a cable: a host, the name its interface gets there, and
// the interface's addresses. Addresses are usable at once, IPv6 ones without
// duplicate address detection.
type End struct {
	Host  *Host
	Iface string // at most 15 bytes
	Addrs []netip.Prefix
}

// A Net is a client and a server with a gateway between them, which forwards:
//
//	client eth0 192.168.1.2 fd01::2 -- lan0 192.168.1.1 fd01::1 gateway
//	gateway wan0 10.9.0.1 fd09::1 -- eth0 10.9.0.2 fd09::2 server
type Net struct {
	*Lab
	Client, Gateway, Server *Host
}

// Addresses of a Net's interfaces.
const (
	ClientAddr4 = "192.168.1.2"
	ClientAddr6 = "fd01::2"
	LANAddr4    = "192.168.1.1"
	LANAddr6    = "fd01::1"
	WANAddr4    = "10.9.0.1"
	WANAddr6    = "fd09::1"
	ServerAddr4 = "10.9.0.2"
	ServerAddr6 = "fd09::2"
)

// Gateway builds a Net. It is ready for use: the first connection succeeds.
func Gateway() (*Net, error) {
	l, err := New()
	if err != nil {
		return nil, err
	}
	n := &Net{Lab: l}
	if err := n.build(); err != nil {
		l.Close()
		return nil, err
	}
	return n, nil
}

func (n *Net) build() (err error) {
	for _, h := range []struct {
		name string
		host **Host
	}{{"client", &n.Client}, {"gateway", &n.Gateway}, {"server", &n.Server}} {
		if *h.host, err = n.Host(h.name); err != nil {
			return err
		}
	}
	if err := n.Gateway.Forward(); err != nil {
		return err
	}
	if err := n.Connect(end(n.Client, "eth0", ClientAddr4, ClientAddr6), end(n.Gateway, "lan0", LANAddr4, LANAddr6)); err != nil {
		return err
	}
	if err := n.Connect(end(n.Gateway, "wan0", WANAddr4, WANAddr6), end(n.Server, "eth0", ServerAddr4, ServerAddr6)); err != nil {
		return err
	}
	if err := defaults(n.Client, LANAddr4, LANAddr6); err != nil {
		return err
	}
	return defaults(n.Server, WANAddr4, WANAddr6)
}

func end(h *Host, iface, v4, v6 string) End {
	return End{h, iface, []netip.Prefix{
		netip.PrefixFrom(netip.MustParseAddr(v4), 24),
		netip.PrefixFrom(netip.MustParseAddr(v6), 64),
	}}
}

// defaults routes everything else to a gateway.
func defaults(h *Host, v4, v6 string) error {
	if err := h.Route(netip.MustParsePrefix("0.0.0.0/0"), netip.MustParseAddr(v4)); err != nil {
		return err
	}
	if !h.IPv6() {
		return nil
	}
	return h.Route(netip.MustParsePrefix("::/0"), netip.MustParseAddr(v6))
}
