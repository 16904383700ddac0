//go:build !linux

package platform

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"syscall"

	"golang.org/x/sys/unix"
)

func noEntry(error) bool { return false }

func noIPv6(err error) bool {
	return errors.Is(err, unix.EAFNOSUPPORT) || errors.Is(err, unix.EADDRNOTAVAIL)
}

// options refuses what this system lacks, and notes what may be done without.
type options struct {
	Socket
	dial             bool
	denied, unmarked error
}

func (o *options) control(_, _ string, c syscall.RawConn) error {
	if o.Transparent {
		o.denied = fmt.Errorf("transparent sockets (IP_TRANSPARENT): %w", ErrUnsupported)
	}
	if o.Mark != 0 {
		o.unmarked = fmt.Errorf("socket marks (SO_MARK): %w", ErrUnsupported)
	}
	if o.Require {
		if err := errors.Join(o.denied, o.unmarked); err != nil {
			return err
		}
	}
	if !o.dial || o.Bind.Port() == 0 {
		return nil
	}
	var err error
	if e := c.Control(func(fd uintptr) {
		err = unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_REUSEADDR, 1)
	}); e != nil {
		return e
	}
	return err
}

func originalDst(*net.TCPConn, bool) (netip.AddrPort, error) {
	return netip.AddrPort{}, fmt.Errorf("original destinations of redirected connections: %w", ErrUnsupported)
}
