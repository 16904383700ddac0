package helper

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"os"

	"golang.org/x/sys/unix"

	"transom/platform"
)

// A preparer makes a socket of the proxy's one that speaks for a client.
//
// Whoever has the socket has it in hand while this happens, and may be hostile. So
// it is first bound, by means that anybody has (IP_FREEBIND), to an address and a
// port that are given: that can't be undone, not by a disconnect either. Only then
// is it made transparent, which is what the right is about. A port of the kernel's
// choice would not do: the kernel takes it back at a disconnect, or has not yet
// chosen one (IP_BIND_ADDRESS_NO_PORT), and then the socket can be bound again, to
// anything. So where any port will do we choose it. It need not be free but for the
// one destination: Client.Dial tries again with another if it is not.
type preparer struct {
	marks     platform.Marks
	udp       bool   // sockets may be UDP's
	low, high uint16 // the ports to choose from
}

// newPreparer takes the ports that the kernel would choose from.
func newPreparer(marks platform.Marks, udp bool) *preparer {
	p := &preparer{marks: marks, udp: udp, low: 32768, high: 60999}
	text, err := os.ReadFile("/proc/sys/net/ipv4/ip_local_port_range")
	if err != nil {
		return p
	}
	var low, high uint16
	if n, err := fmt.Sscan(string(text), &low, &high); n == 2 && err == nil && low != 0 && low < high {
		p.low, p.high = low, high
	}
	return p
}

// prepare marks a fresh socket, and binds it unless src is zero. What it says of a
// socket that is not fresh wraps ErrRefused; other errors have an errno.
func (p *preparer) prepare(fd int, src netip.AddrPort) error {
	v6, err := fresh(fd, unix.SOCK_STREAM)
	if p.udp && err != nil {
		v6, err = fresh(fd, unix.SOCK_DGRAM)
	}
	if err != nil {
		return err
	}
	if src.Addr().IsValid() && src.Addr().Is6() && !v6 {
		return fmt.Errorf("bind an IPv4 socket to %s: %w", src, unix.EAFNOSUPPORT)
	}
	if err := unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_MARK, int(p.marks.Upstream)); err != nil {
		return fmt.Errorf("set SO_MARK: %w", err)
	}
	if !src.Addr().IsValid() {
		return nil
	}
	if err := p.bind(fd, v6, src); err != nil {
		return fmt.Errorf("bind to %s: %w", src, err)
	}
	return transparent(fd, v6)
}

// answer makes a fresh UDP socket one that speaks to client as dst. Whoever has it may
// connect it to others: where what it sends may go is the packet filter's to say, by
// the mark.
func (p *preparer) answer(fd int, client, dst netip.AddrPort) error {
	v6, err := fresh(fd, unix.SOCK_DGRAM)
	if err != nil {
		return err
	}
	if client.Addr().Is4() != dst.Addr().Is4() || dst.Addr().Is6() && !v6 {
		return fmt.Errorf("answer %s from %s by a socket of another family: %w", client, dst, unix.EAFNOSUPPORT)
	}
	if err := unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_MARK, int(p.marks.Client)); err != nil {
		return fmt.Errorf("set SO_MARK: %w", err)
	}
	if err := p.bind(fd, v6, dst); err != nil {
		return fmt.Errorf("bind to %s: %w", dst, err)
	}
	if err := transparent(fd, v6); err != nil {
		return err
	}
	if err := unix.Connect(fd, sockaddr(v6, client)); err != nil {
		return fmt.Errorf("connect to %s: %w", client, err)
	}
	return nil
}

// fresh refuses all but a socket of TCP or UDP, whichever kind says, to which nothing
// has happened yet.
func fresh(fd, kind int) (v6 bool, err error) {
	domain, err := unix.GetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_DOMAIN)
	if err != nil || domain != unix.AF_INET && domain != unix.AF_INET6 {
		return false, fmt.Errorf("%w: prepare what is no internet socket", ErrRefused)
	}
	protocol := map[int]int{unix.SOCK_STREAM: unix.IPPROTO_TCP, unix.SOCK_DGRAM: unix.IPPROTO_UDP}[kind]
	for _, want := range [...]struct{ option, value int }{
		{unix.SO_TYPE, kind},
		{unix.SO_PROTOCOL, protocol},
		{unix.SO_ACCEPTCONN, 0},
	} {
		if is, err := unix.GetsockoptInt(fd, unix.SOL_SOCKET, want.option); err != nil || is != want.value {
			return false, fmt.Errorf("%w: prepare a socket of another kind, or one that listens (option %d is %d)", ErrRefused, want.option, is)
		}
	}
	if _, err := unix.Getpeername(fd); !errors.Is(err, unix.ENOTCONN) {
		return false, fmt.Errorf("%w: prepare a socket that is connected", ErrRefused)
	}
	if a, err := unix.Getsockname(fd); err != nil || !unbound(a) {
		return false, fmt.Errorf("%w: prepare a socket that is bound", ErrRefused)
	}
	return domain == unix.AF_INET6, nil
}

func unbound(a unix.Sockaddr) bool {
	switch a := a.(type) {
	case *unix.SockaddrInet4:
		return a.Addr == [4]byte{} && a.Port == 0
	case *unix.SockaddrInet6:
		return a.Addr == [16]byte{} && a.Port == 0
	}
	return false
}

// triesMax bounds the search for a port. One that is taken is one that somebody
// listens on, or that a socket without SO_REUSEADDR has: few.
const triesMax = 32

// bind binds to an address that need not be the host's. A given port may still be
// in TIME_WAIT from the client's last connection.
func (p *preparer) bind(fd int, v6 bool, src netip.AddrPort) error {
	if err := unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_REUSEADDR, 1); err != nil {
		return err
	}
	if err := unix.SetsockoptInt(fd, unix.SOL_IP, unix.IP_FREEBIND, 1); err != nil {
		return err
	}
	if src.Port() != 0 {
		return unix.Bind(fd, sockaddr(v6, src))
	}
	var err error
	for range triesMax {
		port := p.low + uint16(rand.N(uint32(p.high-p.low)+1))
		if err = unix.Bind(fd, sockaddr(v6, netip.AddrPortFrom(src.Addr(), port))); !errors.Is(err, unix.EADDRINUSE) {
			break
		}
	}
	return err
}

// sockaddr is v4-mapped on a dual-stack socket.
func sockaddr(v6 bool, a netip.AddrPort) unix.Sockaddr {
	if v6 {
		return &unix.SockaddrInet6{Addr: a.Addr().As16(), Port: int(a.Port())}
	}
	return &unix.SockaddrInet4{Addr: a.Addr().As4(), Port: int(a.Port())}
}

// transparent lets a socket have an address that is not the host's. Both families'
// options set the same flag in the kernel.
func transparent(fd int, v6 bool) error {
	level, option := unix.SOL_IP, unix.IP_TRANSPARENT
	if v6 {
		level, option = unix.SOL_IPV6, unix.IPV6_TRANSPARENT
	}
	if err := unix.SetsockoptInt(fd, level, option, 1); err != nil {
		return fmt.Errorf("set IP_TRANSPARENT: %w", err)
	}
	return nil
}
