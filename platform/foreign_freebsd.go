package platform

import (
	"fmt"

	"golang.org/x/sys/unix"
)

// Assumes returns nil: sockets can have foreign addresses.
func Assumes() error { return nil }

// bindAny lets a socket be bound to an address that is not the host's. It takes
// root. Answers come back to it by a rule of ipfw's alone (fwd).
func bindAny(fd int, v6 bool) error {
	level, option := unix.IPPROTO_IP, unix.IP_BINDANY
	if v6 {
		level, option = unix.IPPROTO_IPV6, unix.IPV6_BINDANY
	}
	if err := unix.SetsockoptInt(fd, level, option, 1); err != nil {
		return fmt.Errorf("set IP_BINDANY (needs root): %w", err)
	}
	return nil
}

// foreign returns nil: ipfw's fwd gives any listener connections to foreign addresses.
func foreign() error { return nil }
