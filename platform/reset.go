package platform

import (
	"net"
	"os"
	"syscall"

	"golang.org/x/sys/unix"
)

// AwaitReset waits until the peer of c resets the connection, and returns what
// reading would fail with. It sees a reset also where reading does not: behind
// bytes that nobody reads, and after the peer's FIN. It waits as a Read does, so
// that no other may be under way, and c's read deadline ends it.
//
// It returns nil if it ends otherwise, or c has no socket that can tell. A conn
// in memory can: by AwaitReset methods of its own.
func AwaitReset(c net.Conn) error {
	if own, ok := c.(interface{ AwaitReset() error }); ok {
		return own.AwaitReset()
	}
	t, err := tcp(c)
	if err != nil {
		return nil
	}
	raw, err := t.SyscallConn()
	if err != nil {
		return nil
	}
	var reset error
	err = raw.Read(func(fd uintptr) (done bool) {
		reset = pending(int(fd))
		return reset != nil
	})
	if err != nil {
		return nil
	}
	return &net.OpError{Op: "read", Net: "tcp", Source: t.LocalAddr(), Addr: t.RemoteAddr(), Err: os.NewSyscallError("getsockopt", reset)}
}

// pending takes the error that waits on a socket, nil unless it ends the
// connection. A reset after a FIN is a broken pipe to Linux, whether or not
// anybody writes. Other errors are what a router said of a packet: the kernel
// keeps them here too, and sends it again.
func pending(fd int) error {
	n, err := unix.GetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_ERROR)
	if err != nil {
		return nil
	}
	switch e := syscall.Errno(n); e {
	case syscall.ECONNRESET, syscall.EPIPE:
		return syscall.ECONNRESET
	case syscall.ETIMEDOUT:
		return e
	}
	return nil
}
