package helper

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"strconv"
	"time"

	"golang.org/x/sys/unix"
)

// lockName is an abstract address: it belongs to the network namespace that is
// steered, and goes with its holder, however that ends.
const lockName = "@transom-gateway"

// lockWithin is how long an earlier run may take to clean up.
const lockWithin = 2 * time.Second

// Lock makes sure that no helper is at work in this network namespace, and none
// begins until the result is closed. It waits a moment for one that ends; else
// the error names the process.
func Lock(ctx context.Context) (io.Closer, error) { return lock(ctx, lockWithin) }

// lock makes sure that there is one watch in this network namespace. What it
// returns is held until it is closed.
func lock(ctx context.Context, within time.Duration) (net.Listener, error) {
	ctx, cancel := context.WithTimeout(ctx, within)
	defer cancel()
	for {
		l, err := net.Listen("unix", lockName)
		switch {
		case err == nil:
			return l, nil
		case !errors.Is(err, unix.EADDRINUSE):
			return nil, fmt.Errorf("make sure that no other transom steers this network: %w", err)
		}
		if holder, err := outlive(ctx); err != nil {
			return nil, fmt.Errorf("another transom%s steers this network already: stop it first (it holds the abstract socket %s)", holder, lockName)
		}
	}
}

// outlive returns without an error when the holder of the lock is gone, and tells
// who it was.
func outlive(ctx context.Context) (holder string, err error) {
	var d net.Dialer
	c, err := d.DialContext(ctx, "unix", lockName)
	if err != nil {
		if ctx.Err() != nil || errors.Is(err, unix.EAGAIN) {
			return "", err // as many wait as can
		}
		return "", nil // gone between the two
	}
	defer c.Close()
	if pid := peer(c.(*net.UnixConn)); pid > 0 {
		holder = " (process " + strconv.Itoa(pid) + ")"
	}
	if deadline, ok := ctx.Deadline(); ok {
		_ = c.SetDeadline(deadline) // never fails on an open socket
	}
	var b [1]byte
	var timeout net.Error
	if _, err := c.Read(b[:]); errors.As(err, &timeout) && timeout.Timeout() {
		return holder, err
	}
	return holder, ctx.Err()
}

// peer is the process at the other end, 0 if it is in another pid namespace.
func peer(c *net.UnixConn) (pid int) {
	raw, err := c.SyscallConn()
	if err != nil {
		return 0
	}
	_ = raw.Control(func(fd uintptr) { // 0 says that it is not known
		if cred, err := unix.GetsockoptUcred(int(fd), unix.SOL_SOCKET, unix.SO_PEERCRED); err == nil {
			pid = int(cred.Pid)
		}
	})
	return pid
}
