package platform

import (
	"errors"
	"fmt"
	"net"
	"os"

	"golang.org/x/sys/unix"
)

// NewPair returns the ends of a pair of sockets that keep messages apart: near for this
// process, and far for another one that is started with it or is sent it. Both are closed
// at exec. The names are for errors.
func NewPair(near, far string) (*net.UnixConn, *os.File, error) {
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_SEQPACKET|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, nil, fmt.Errorf("make a socket pair: %w", err)
	}
	other := os.NewFile(uintptr(fds[1]), far)
	c, err := TakePair(os.NewFile(uintptr(fds[0]), near))
	if err != nil {
		other.Close()
		return nil, nil, err
	}
	return c, other, nil
}

// TakePair takes over a file that is an end of a pair, and closes it. The error is of what
// is none: there is nothing else if a person starts what is to be started with one.
func TakePair(f *os.File) (*net.UnixConn, error) {
	defer f.Close()
	c, err := net.FileConn(f)
	if err != nil {
		return nil, err
	}
	u, ok := c.(*net.UnixConn)
	if !ok {
		c.Close()
		return nil, errors.New("that is no socket pair")
	}
	return u, nil
}
