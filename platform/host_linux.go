package platform

import (
	"encoding/binary"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"strconv"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// noEntry reports whether err says that nobody redirected the connection:
// conntrack does not know it (ENOENT) or is not there (ENOPROTOOPT).
func noEntry(err error) bool {
	return errors.Is(err, unix.ENOENT) || errors.Is(err, unix.ENOPROTOOPT)
}

// viaForeign is how connections come that have a foreign address here.
const viaForeign = "tproxy"

// openOriginal returns what asks netfilter, by the socket that it is about.
func openOriginal(*slog.Logger) (original, func() error) {
	return originalDst, func() error { return nil }
}

// listenable refuses nothing.
func listenable(netip.Addr) error { return nil }

// noIPv6 reports whether err says that the kernel does without IPv6.
func noIPv6(err error) bool {
	return errors.Is(err, unix.EAFNOSUPPORT) || errors.Is(err, unix.EADDRNOTAVAIL)
}

// options sets a Socket's options before bind and connect, and notes which were
// refused.
type options struct {
	Socket
	dial             bool
	denied, unmarked error
}

func (o *options) control(network, _ string, c syscall.RawConn) error {
	var err error
	if e := c.Control(func(fd uintptr) { err = o.set(int(fd), network == "tcp6" || network == "udp6") }); e != nil {
		return e
	}
	return err
}

func (o *options) set(fd int, v6 bool) error {
	if o.Mark != 0 {
		if err := unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_MARK, int(o.Mark)); err != nil {
			if o.Require || !errors.Is(err, unix.EPERM) {
				return fmt.Errorf("set SO_MARK (needs CAP_NET_ADMIN or CAP_NET_RAW): %w", err)
			}
			o.unmarked = err
		}
	}
	if o.Transparent {
		if err := transparent(fd, v6); err != nil {
			if o.Require || !errors.Is(err, unix.EPERM) {
				return fmt.Errorf("set IP_TRANSPARENT (needs CAP_NET_ADMIN or CAP_NET_RAW): %w", err)
			}
			o.denied = err
		}
	}
	if o.dial && o.Bind.Addr().IsValid() {
		return bindOptions(fd, o.Bind.Port())
	}
	return nil
}

// transparent lets the socket have addresses that are not the host's. Both
// families' options set the same flag in the kernel, but a kernel may lack one.
func transparent(fd int, v6 bool) error {
	if v6 {
		err := unix.SetsockoptInt(fd, unix.SOL_IPV6, unix.IPV6_TRANSPARENT, 1)
		if err == nil || errors.Is(err, unix.EPERM) {
			return err
		}
	}
	return unix.SetsockoptInt(fd, unix.SOL_IP, unix.IP_TRANSPARENT, 1)
}

// bindOptions prepares a client's socket for an explicit source. A given port
// may still be in TIME_WAIT from its last connection; a port of the kernel's
// choice should be chosen at connect, when the destination is known: then there
// are as many of them for each destination.
func bindOptions(fd int, port uint16) error {
	if port != 0 {
		return unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_REUSEADDR, 1)
	}
	_ = unix.SetsockoptInt(fd, unix.SOL_IP, unix.IP_BIND_ADDRESS_NO_PORT, 1) // only an optimisation
	return nil
}

// originalDst asks netfilter for the destination that a redirected connection
// had. The level follows the address, not the socket: an IPv4 client of a
// dual-stack listener is found by SOL_IP only.
func originalDst(c *net.TCPConn, v6 bool) (netip.AddrPort, error) {
	rc, err := c.SyscallConn()
	if err != nil {
		return netip.AddrPort{}, err
	}
	var dst netip.AddrPort
	var serr error
	err = rc.Control(func(fd uintptr) {
		if v6 {
			dst, serr = original6(int(fd))
		} else {
			dst, serr = original4(int(fd))
		}
	})
	if err != nil {
		return netip.AddrPort{}, err
	}
	if errors.Is(serr, unix.EOPNOTSUPP) {
		serr = fmt.Errorf("the socket has none (is its listener an MPTCP one?): %w", serr)
	}
	return dst, serr
}

// original4 reads a sockaddr_in; IPv6Mreq is the 20-byte carrier x/sys has a
// call for.
func original4(fd int) (netip.AddrPort, error) {
	m, err := unix.GetsockoptIPv6Mreq(fd, unix.SOL_IP, unix.SO_ORIGINAL_DST)
	if err != nil {
		return netip.AddrPort{}, err
	}
	b := &m.Multiaddr
	return netip.AddrPortFrom(netip.AddrFrom4([4]byte(b[4:8])), binary.BigEndian.Uint16(b[2:4])), nil
}

// original6 reads a sockaddr_in6, which begins a 32-byte ip6_mtuinfo.
func original6(fd int) (netip.AddrPort, error) {
	m, err := unix.GetsockoptIPv6MTUInfo(fd, unix.SOL_IPV6, unix.SO_ORIGINAL_DST)
	if err != nil {
		return netip.AddrPort{}, err
	}
	a := netip.AddrFrom16(m.Addr.Addr)
	if a.IsLinkLocalUnicast() && m.Addr.Scope_id != 0 {
		a = a.WithZone(zone(fd, m.Addr.Scope_id))
	}
	port := (*[2]byte)(unsafe.Pointer(&m.Addr.Port)) // big-endian in a native-endian field
	return netip.AddrPortFrom(a, binary.BigEndian.Uint16(port[:])), nil
}

// zone names an interface of fd's network namespace as an address's zone does.
// It asks the socket that is there: what package net does binds a netlink
// socket, which a process that has given up its rights can't.
func zone(fd int, index uint32) string {
	var r unix.Ifreq
	r.SetUint32(index)
	if err := unix.IoctlIfreq(fd, unix.SIOCGIFNAME, &r); err == nil {
		return r.Name()
	}
	return strconv.FormatUint(uint64(index), 10)
}
