//go:build !linux

package platform

import (
	"errors"
	"fmt"
	"net/netip"
	"runtime"
	"syscall"

	"golang.org/x/sys/unix"
)

// viaForeign is how connections come that have a foreign address here: OpenBSD's
// divert-to and ipfw's fwd leave packets as they are, as TPROXY does.
const viaForeign = "divert"

// noEntry is for what is said on Linux: here it is pf.ErrNoState.
func noEntry(error) bool { return false }

// listenable refuses what nothing could be brought to.
func listenable(a netip.Addr) error {
	if a == netip.IPv6Unspecified() && runtime.GOOS == "openbsd" {
		return errors.New("OpenBSD has no sockets for both families, and divert-to finds a listener by its very address: " +
			"listen on 127.0.0.1, and on ::1 for IPv6 (--mode transparent@127.0.0.1:8080 --mode transparent@[::1]:8080)")
	}
	return nil
}

func noIPv6(err error) bool {
	return errors.Is(err, unix.EAFNOSUPPORT) || errors.Is(err, unix.EADDRNOTAVAIL)
}

// options refuses what this system lacks, and notes what may be done without.
type options struct {
	Socket
	dial             bool
	denied, unmarked error
}

func (o *options) control(network, _ string, c syscall.RawConn) error {
	if o.Mark != 0 {
		o.unmarked = fmt.Errorf("socket marks (SO_MARK): %w", ErrUnsupported)
	}
	var err error
	if e := c.Control(func(fd uintptr) { err = o.set(int(fd), network == "tcp6" || network == "udp6") }); e != nil {
		return e
	}
	if err == nil && o.Require {
		err = errors.Join(o.denied, o.unmarked)
	}
	return err
}

// set lets a socket towards a server have a foreign address. One that listens
// accepts connections to such addresses without, where they can be brought at all.
func (o *options) set(fd int, v6 bool) error {
	switch {
	case o.Transparent && o.dial:
		if err := bindAny(fd, v6); err != nil {
			if !errors.Is(err, unix.EPERM) && !errors.Is(err, ErrUnsupported) {
				return err
			}
			o.denied = err
		}
	case o.Transparent:
		o.denied = foreign()
	}
	if !o.dial || o.Bind.Port() == 0 {
		return nil
	}
	return unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_REUSEADDR, 1)
}
