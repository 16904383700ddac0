package platform

import (
	"context"
	"net"
	"net/netip"
)

// Datagrams opens UDP sockets for what clients send to others.
type Datagrams interface {
	// ListenUDP opens a socket that datagrams to others come to, by TPROXY. It
	// fails if that can't work.
	ListenUDP(ctx context.Context, s Socket) (*PacketListener, error)
	// Answerer makes the sockets that captured clients are answered by, marked
	// with mark; 0 sets none.
	Answerer(mark uint32) Answerer
}

// An Answerer makes UDP sockets that speak for others. Its methods may be called
// by many goroutines.
type Answerer interface {
	// Answer returns a UDP socket that is bound to dst, somebody else's address
	// (IP_TRANSPARENT), and connected to client: what it sends comes from dst, and
	// what client sends to dst from now on comes to it. Errors keep the errno in
	// their chain. The caller closes it.
	Answer(ctx context.Context, client, dst netip.AddrPort) (*net.UDPConn, error)
}

// A Refuser is an Answerer that can also tell a client, by ICMP in dst's name, that
// nobody is at dst's port, where it has sent a datagram. It does not wait.
type Refuser interface {
	Refuse(client, dst netip.AddrPort) error
}

// MaxDatagram is no less than the payload of any UDP datagram but a jumbogram's.
const MaxDatagram = 65535

// A Packet has room for any datagram.
type Packet [MaxDatagram]byte

// networkUDP keeps IPv4 addresses on IPv4 sockets, for UDP as network does for TCP.
func networkUDP(a netip.AddrPort) string {
	switch {
	case a.Addr().Unmap().Is4():
		return "udp4"
	case a.Addr().Is6() && !a.Addr().IsUnspecified():
		return "udp6"
	}
	return "udp"
}

// DialUDP implements Sockets. The conn is a *PacketConn.
func (h *here) DialUDP(ctx context.Context, s Socket, dst netip.AddrPort) (net.Conn, error) {
	c, err := h.dialUDP(ctx, s, dst)
	if err != nil {
		return nil, err
	}
	p, err := NewPacketConn(c)
	if err != nil {
		c.Close()
		return nil, err
	}
	return p, nil
}

func (h *here) dialUDP(ctx context.Context, s Socket, dst netip.AddrPort) (*net.UDPConn, error) {
	dst = netip.AddrPortFrom(dst.Addr().Unmap(), dst.Port())
	o := options{Socket: s, dial: true}
	d := net.Dialer{Control: o.control}
	if s.Bind.Addr().IsValid() {
		d.LocalAddr = net.UDPAddrFromAddrPort(netip.AddrPortFrom(s.Bind.Addr().Unmap(), s.Bind.Port()))
	}
	c, err := d.DialContext(ctx, networkUDP(dst), dst.String())
	h.marked(&o)
	if err != nil {
		return nil, err
	}
	return c.(*net.UDPConn), nil
}

// Answerer implements Datagrams.
func (h *here) Answerer(mark uint32) Answerer { return answerer{h, mark} }

// answerer makes sockets in this process.
type answerer struct {
	h    *here
	mark uint32
}

// Answer implements Answerer. Between bind and connect the socket is one that
// datagrams of other clients could be found for: no rule may look for sockets
// where clients' datagrams come in, but for the one that captures, which leaves
// out what is not connected.
func (a answerer) Answer(ctx context.Context, client, dst netip.AddrPort) (*net.UDPConn, error) {
	return a.h.dialUDP(ctx, Socket{Bind: dst, Transparent: true, Require: true, Mark: a.mark}, client)
}
