package rootless

import (
	"fmt"
	"net/netip"
	"os"

	"golang.org/x/sys/unix"
)

// backlog is how many connections may wait to be accepted.
const backlog = 4096

// listen opens the socket that TCP or UDP is given to, for both families if the
// kernel has them.
func listen(kind int) (int, error) {
	fd, err := transparent(kind, netip.AddrPortFrom(unspecified(), insidePort))
	if err != nil {
		return -1, fmt.Errorf("open a transparent socket: %w", err)
	}
	if kind != unix.SOCK_STREAM {
		return fd, nil
	}
	if err := unix.Listen(fd, backlog); err != nil {
		unix.Close(fd)
		return -1, fmt.Errorf("listen: %w", err)
	}
	return fd, nil
}

// answer opens a UDP socket that has somebody else's address and hears one client
// alone.
func answer(client, dst netip.AddrPort) (int, error) {
	fd, err := transparent(unix.SOCK_DGRAM, dst)
	if err != nil {
		return -1, fmt.Errorf("open a socket that answers as %s: %w", dst, err)
	}
	if err := unix.Connect(fd, sockaddr(client)); err != nil {
		unix.Close(fd)
		return -1, fmt.Errorf("connect it to %s: %w", client, err)
	}
	return fd, nil
}

// transparent opens a socket that may be bound to a foreign address, and binds it.
func transparent(kind int, to netip.AddrPort) (int, error) {
	family, level, option := unix.AF_INET, unix.SOL_IP, unix.IP_TRANSPARENT
	if to.Addr().Is6() {
		family, level, option = unix.AF_INET6, unix.SOL_IPV6, unix.IPV6_TRANSPARENT
	}
	fd, err := unix.Socket(family, kind|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0)
	if err != nil {
		return -1, err
	}
	err = unix.SetsockoptInt(fd, level, option, 1)
	if err == nil {
		err = unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_REUSEADDR, 1)
	}
	if err == nil && to.Addr() == netip.IPv6Unspecified() {
		err = unix.SetsockoptInt(fd, unix.SOL_IPV6, unix.IPV6_V6ONLY, 0)
	}
	if err == nil {
		err = unix.Bind(fd, sockaddr(to))
	}
	if err != nil {
		unix.Close(fd)
		return -1, err
	}
	return fd, nil
}

// unspecified is the address that stands for all, of both families if there are
// two.
func unspecified() netip.Addr {
	if _, err := os.Stat("/proc/sys/net/ipv6"); err != nil {
		return netip.IPv4Unspecified()
	}
	return netip.IPv6Unspecified()
}

func sockaddr(a netip.AddrPort) unix.Sockaddr {
	if a.Addr().Is4() {
		return &unix.SockaddrInet4{Port: int(a.Port()), Addr: a.Addr().As4()}
	}
	return &unix.SockaddrInet6{Port: int(a.Port()), Addr: a.Addr().As16()}
}
