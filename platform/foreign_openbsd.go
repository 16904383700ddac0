package platform

import (
	"fmt"

	"golang.org/x/sys/unix"
)

// Assumes returns nil: sockets can have foreign addresses.
func Assumes() error { return nil }

// bindAny lets a socket be bound to an address that is not the host's. It takes
// root. Answers come back to it by a rule of pf's with divert-reply.
func bindAny(fd int, _ bool) error {
	if err := unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_BINDANY, 1); err != nil {
		return fmt.Errorf("set SO_BINDANY (needs root): %w", err)
	}
	return nil
}

// foreign returns nil: divert-to gives any listener connections to foreign addresses.
func foreign() error { return nil }
