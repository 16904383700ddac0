package platform

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"sync"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// hearBuffer is how much the kernel is asked to keep of datagrams that were not
// heard yet. It grants what net.core.rmem_max allows.
const hearBuffer = 4 << 20

// ListenUDP implements Datagrams.
func (h *here) ListenUDP(ctx context.Context, s Socket) (*PacketListener, error) {
	l, err := h.listenUDP(ctx, s)
	if err != nil && s.Bind.Addr() == netip.IPv6Unspecified() && noIPv6(err) {
		s.Bind = netip.AddrPortFrom(netip.IPv4Unspecified(), s.Bind.Port())
		l, err = h.listenUDP(ctx, s)
	}
	if err != nil {
		var op *net.OpError
		if errors.As(err, &op) {
			err = op.Err // which says listen and the address too
		}
		return nil, fmt.Errorf("listen for datagrams on %s: %w", s.Bind, err)
	}
	return l, nil
}

func (h *here) listenUDP(ctx context.Context, s Socket) (*PacketListener, error) {
	s.Transparent, s.Require = true, true
	o := options{Socket: s}
	lc := net.ListenConfig{Control: o.control}
	c, err := lc.ListenPacket(ctx, networkUDP(s.Bind), s.Bind.String())
	if err != nil {
		return nil, err
	}
	l, err := NewPacketListener(c.(*net.UDPConn))
	if err != nil {
		c.Close()
		return nil, err
	}
	return l, nil
}

// A PacketListener is a UDP socket that datagrams to others come to, and that can
// tell where they were meant to go. Its methods may be called by many goroutines,
// but one at a time may Hear.
type PacketListener struct {
	c   *net.UDPConn
	raw syscall.RawConn

	mu  sync.Mutex // held while a datagram is received and handed on, so that their order stays
	buf Packet
	oob [256]byte
}

// NewPacketListener takes over a socket that was made elsewhere: it has
// IP_TRANSPARENT set. What tells the destinations is set here, which needs no
// right.
func NewPacketListener(c *net.UDPConn) (*PacketListener, error) {
	raw, err := c.SyscallConn()
	if err != nil {
		return nil, err
	}
	var serr error
	if err := raw.Control(func(fd uintptr) { serr = tellDestinations(int(fd)) }); err != nil {
		return nil, err
	}
	if serr != nil {
		return nil, fmt.Errorf("have the kernel tell where datagrams were meant to go (IP_RECVORIGDSTADDR): %w", serr)
	}
	_ = c.SetReadBuffer(hearBuffer) // less of it loses more under load
	return &PacketListener{c: c, raw: raw}, nil
}

// tellDestinations sets both families' options on a dual-stack socket.
func tellDestinations(fd int) error {
	domain, err := unix.GetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_DOMAIN)
	if err != nil {
		return err
	}
	if domain == unix.AF_INET6 {
		if err := unix.SetsockoptInt(fd, unix.SOL_IPV6, unix.IPV6_RECVORIGDSTADDR, 1); err != nil {
			return err
		}
	}
	return unix.SetsockoptInt(fd, unix.SOL_IP, unix.IP_RECVORIGDSTADDR, 1)
}

// Addr is where it listens.
func (l *PacketListener) Addr() netip.AddrPort {
	a, ok := l.c.LocalAddr().(*net.UDPAddr)
	if !ok {
		return netip.AddrPort{}
	}
	return a.AddrPort()
}

// SyscallConn implements syscall.Conn.
func (l *PacketListener) SyscallConn() (syscall.RawConn, error) { return l.c.SyscallConn() }

// Close ends Hear.
func (l *PacketListener) Close() error { return l.c.Close() }

// Hear waits for one datagram and calls heard for it: who sent it, and to whom.
// p is valid until heard returns, which must not call Hear or Drain.
func (l *PacketListener) Hear(heard func(p []byte, client, dst netip.AddrPort)) error {
	var err error
	e := l.raw.Read(func(fd uintptr) bool {
		err = l.one(int(fd), heard)
		return !errors.Is(err, unix.EAGAIN)
	})
	if e != nil {
		return e
	}
	return err
}

// Drain calls heard for what has come and was not heard, for up to most datagrams;
// it does not wait for more. Hear may be waiting meanwhile.
func (l *PacketListener) Drain(most int, heard func(p []byte, client, dst netip.AddrPort)) error {
	var err error
	e := l.raw.Control(func(fd uintptr) {
		for ; most > 0 && err == nil; most-- {
			err = l.one(int(fd), heard)
		}
	})
	if e != nil {
		return e
	}
	if errors.Is(err, unix.EAGAIN) {
		return nil
	}
	return err
}

// one receives one datagram without waiting for it.
func (l *PacketListener) one(fd int, heard func(p []byte, client, dst netip.AddrPort)) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	var n, oobn int
	var from unix.Sockaddr
	var err error
	for {
		n, oobn, _, from, err = unix.Recvmsg(fd, l.buf[:], l.oob[:], unix.MSG_DONTWAIT)
		if !errors.Is(err, unix.EINTR) {
			break
		}
	}
	if err != nil {
		return err
	}
	client, dst := addrPortOf(from), destination(l.oob[:oobn])
	if client.IsValid() && dst.IsValid() {
		heard(l.buf[:n], client, dst)
	}
	return nil
}

// addrPortOf is never v4-mapped. The zone of a link-local address is left out: it
// can't be named without a look-up, and such clients are not captured.
func addrPortOf(a unix.Sockaddr) netip.AddrPort {
	switch a := a.(type) {
	case *unix.SockaddrInet4:
		return netip.AddrPortFrom(netip.AddrFrom4(a.Addr), uint16(a.Port))
	case *unix.SockaddrInet6:
		return netip.AddrPortFrom(netip.AddrFrom16(a.Addr).Unmap(), uint16(a.Port))
	}
	return netip.AddrPort{}
}

// destination finds the address in what the kernel says beside a datagram: a
// sockaddr of either family.
func destination(oob []byte) netip.AddrPort {
	for len(oob) >= unix.SizeofCmsghdr {
		h := (*unix.Cmsghdr)(unsafe.Pointer(&oob[0]))
		size := uint64(h.Len)
		if size < unix.SizeofCmsghdr || size > uint64(len(oob)) {
			break
		}
		data := oob[unix.CmsgLen(0):size]
		switch {
		case h.Level == unix.SOL_IP && h.Type == unix.IP_RECVORIGDSTADDR && len(data) >= unix.SizeofSockaddrInet4:
			return netip.AddrPortFrom(netip.AddrFrom4([4]byte(data[4:8])), binary.BigEndian.Uint16(data[2:]))
		case h.Level == unix.SOL_IPV6 && h.Type == unix.IPV6_RECVORIGDSTADDR && len(data) >= unix.SizeofSockaddrInet6:
			return netip.AddrPortFrom(netip.AddrFrom16([16]byte(data[8:24])).Unmap(), binary.BigEndian.Uint16(data[2:]))
		}
		oob = oob[min(unix.CmsgSpace(len(data)), len(oob)):]
	}
	return netip.AddrPort{}
}
