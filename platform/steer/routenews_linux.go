package steer

import (
	"encoding/binary"
	"errors"
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

// routeNews tells when somebody has removed a routing rule. Routes change too
// often on some hosts to be told of each.
type routeNews struct{ file *os.File }

// openRouteNews opens it for the network namespace of the calling thread. It takes
// no right.
func openRouteNews() (*routeNews, error) {
	fd, err := unix.Socket(unix.AF_NETLINK, unix.SOCK_RAW|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, unix.NETLINK_ROUTE)
	if err != nil {
		return nil, fmt.Errorf("open a routing socket: %w", err)
	}
	f := os.NewFile(uintptr(fd), "routing")
	const groups = 1<<(unix.RTNLGRP_IPV4_RULE-1) | 1<<(unix.RTNLGRP_IPV6_RULE-1)
	if err := unix.Bind(fd, &unix.SockaddrNetlink{Family: unix.AF_NETLINK, Groups: groups}); err != nil {
		f.Close()
		return nil, fmt.Errorf("hear of routing rules: %w", err)
	}
	return &routeNews{f}, nil
}

// Next implements source.
func (r *routeNews) Next() error {
	buf := make([]byte, 32<<10)
	for {
		n, err := r.file.Read(buf)
		switch {
		case errors.Is(err, unix.ENOBUFS): // something was missed
			return nil
		case err != nil:
			return fmt.Errorf("hear of routing rules: %w", err)
		case n >= unix.SizeofNlMsghdr && binary.NativeEndian.Uint16(buf[4:]) == unix.RTM_DELRULE:
			return nil // of several in a datagram there is none of another type
		}
	}
}

// Close implements source.
func (r *routeNews) Close() error { return r.file.Close() }
