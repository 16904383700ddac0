package neighbour

import (
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"

	"golang.org/x/sys/unix"
)

// interfacesMost is on how many interfaces announcements are heard.
const interfacesMost = 32

// listen opens sockets that hear announcements on interfaces. They are bound to the
// groups' addresses: what is sent to this host's own, as answers for a responder here, is
// not for them. What can't be had is said, and done without.
func listen(interfaces []string, log *slog.Logger) (cs []*net.UDPConn) {
	for _, one := range interfaces[:min(len(interfaces), interfacesMost)] {
		ifi, err := net.InterfaceByName(one)
		if err != nil {
			log.Debug("announcements of names are not heard", "err", err)
			continue
		}
		for _, family := range []int{unix.AF_INET, unix.AF_INET6} {
			c, err := hear(family, ifi)
			if err != nil {
				log.Debug("announcements of names are not heard", "interface", one, "err", err)
				continue
			}
			cs = append(cs, c)
		}
	}
	return cs
}

// The groups of RFC 6762, section 3.
var (
	group4 = [4]byte{224, 0, 0, 251}
	group6 = [16]byte{0: 0xff, 1: 0x02, 15: 0xfb}
)

func hear(family int, ifi *net.Interface) (*net.UDPConn, error) {
	fd, err := unix.Socket(family, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0)
	if err != nil {
		return nil, fmt.Errorf("make a socket: %w", err)
	}
	f := os.NewFile(uintptr(fd), "announcements")
	defer f.Close()
	if family == unix.AF_INET {
		err = join4(fd, ifi.Index)
	} else {
		err = join6(fd, ifi.Index)
	}
	if err != nil {
		return nil, err
	}
	c, err := net.FilePacketConn(f)
	if err != nil {
		return nil, err
	}
	return c.(*net.UDPConn), nil
}

// join4 hears the group on one interface alone.
func join4(fd, index int) error {
	return errors.Join(
		os.NewSyscallError("SO_REUSEADDR", unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_REUSEADDR, 1)),
		os.NewSyscallError("IP_MULTICAST_ALL", unix.SetsockoptInt(fd, unix.SOL_IP, unix.IP_MULTICAST_ALL, 0)),
		os.NewSyscallError("IP_ADD_MEMBERSHIP", unix.SetsockoptIPMreqn(fd, unix.SOL_IP, unix.IP_ADD_MEMBERSHIP, &unix.IPMreqn{Multiaddr: group4, Ifindex: int32(index)})),
		os.NewSyscallError("bind", unix.Bind(fd, &unix.SockaddrInet4{Port: mdnsPort, Addr: group4})),
	)
}

func join6(fd, index int) error {
	return errors.Join(
		os.NewSyscallError("IPV6_V6ONLY", unix.SetsockoptInt(fd, unix.SOL_IPV6, unix.IPV6_V6ONLY, 1)),
		os.NewSyscallError("SO_REUSEADDR", unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_REUSEADDR, 1)),
		os.NewSyscallError("IPV6_JOIN_GROUP", unix.SetsockoptIPv6Mreq(fd, unix.SOL_IPV6, unix.IPV6_JOIN_GROUP, &unix.IPv6Mreq{Multiaddr: group6, Interface: uint32(index)})),
		os.NewSyscallError("bind", unix.Bind(fd, &unix.SockaddrInet6{Port: mdnsPort, Addr: group6, ZoneId: uint32(index)})),
	)
}
