package helper

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"os"
	"syscall"

	"transom/platform"
)

// ListenUDP implements platform.Datagrams: the listener is the helper's.
func (c *Client) ListenUDP(ctx context.Context, s platform.Socket) (*platform.PacketListener, error) {
	var l *platform.PacketListener
	err := again(func() (err error) {
		l, err = c.listenUDP(ctx, s.Bind)
		return err
	})
	return l, err
}

func (c *Client) listenUDP(ctx context.Context, a netip.AddrPort) (*platform.PacketListener, error) {
	got, err := c.line.ask(ctx, request{kind: askHear, addr: unmap(a)}, -1)
	if err != nil {
		return nil, err // which says what was asked for
	}
	if got.fd < 0 {
		return nil, fmt.Errorf("listen for datagrams on %s: the helper sent no listener", a)
	}
	f := os.NewFile(uintptr(got.fd), "listener")
	defer f.Close()
	p, err := net.FilePacketConn(f)
	if err != nil {
		return nil, fmt.Errorf("listen for datagrams on %s: %w", a, err)
	}
	l, err := platform.NewPacketListener(p.(*net.UDPConn))
	if err != nil {
		p.Close()
	}
	return l, err
}

// Answerer implements platform.Datagrams. The mark is the charter's.
func (c *Client) Answerer(uint32) platform.Answerer { return answerer{c} }

type answerer struct{ c *Client }

// Answer implements platform.Answerer: the helper binds the socket and connects it.
func (a answerer) Answer(ctx context.Context, client, dst netip.AddrPort) (*net.UDPConn, error) {
	client, dst = unmap(client), unmap(dst)
	var conn *net.UDPConn
	err := again(func() (err error) {
		conn, err = a.c.udp(ctx, request{kind: askAnswer, addr: dst, peer: client}, client)
		return err
	})
	return conn, err
}

// udp has the helper prepare a UDP socket, and connects it to dst.
func (c *Client) udp(ctx context.Context, r request, dst netip.AddrPort) (*net.UDPConn, error) {
	d := net.Dialer{ControlContext: func(ctx context.Context, _, _ string, raw syscall.RawConn) error {
		return c.prepare(ctx, raw, r)
	}}
	network := "udp6"
	if dst.Addr().Is4() {
		network = "udp4"
	}
	conn, err := d.DialContext(ctx, network, dst.String())
	if err != nil {
		return nil, err
	}
	return conn.(*net.UDPConn), nil
}

// DialUDP implements platform.Sockets, as Dial does.
func (c *Client) DialUDP(ctx context.Context, s platform.Socket, dst netip.AddrPort) (net.Conn, error) {
	if !s.Bind.Addr().IsValid() && (s.Mark == 0 || !c.charter.Mark && !s.Require) {
		return c.Host.DialUDP(ctx, platform.Socket{}, dst)
	}
	s.Bind, dst = unmap(s.Bind), unmap(dst)
	var conn *net.UDPConn
	err := again(func() (err error) {
		conn, err = c.udp(ctx, request{kind: askPrepare, addr: s.Bind}, dst)
		return err
	})
	if err != nil {
		return nil, err
	}
	p, err := platform.NewPacketConn(conn)
	if err != nil {
		conn.Close()
		return nil, err
	}
	return p, nil
}
