package platform_test

import (
	"errors"
	"io"
	"net"
	"os"
	"runtime"
	"slices"
	"testing"

	"golang.org/x/sys/unix"

	"transom/internal/testnet"
	"transom/platform"
)

func TestControl(t *testing.T) {
	l, err := platform.ListenControl()
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	pids, err := platform.Controls()
	if err != nil || !slices.Contains(pids, os.Getpid()) {
		t.Fatalf("%d is not among %v: %v", os.Getpid(), pids, err)
	}
	c, err := platform.DialControl(t.Context(), os.Getpid())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	there, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	there.Close()
}

// Others are hung up on, and don't keep those who may from coming in.
func TestControlIsNobodyElses(t *testing.T) {
	testnet.Need(t, os.Geteuid() == 0, "root, to be another user")
	l, err := platform.ListenControl(65533)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	stranger, friend := as(t, 65534, l.Addr()), as(t, 65533, l.Addr())
	there, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	defer there.Close()
	if _, err := stranger.Read(make([]byte, 1)); err != io.EOF && !errors.Is(err, unix.ECONNRESET) {
		t.Errorf("a stranger reads: %v", err)
	}
	if _, err := there.Write([]byte("!")); err != nil {
		t.Fatal(err)
	}
	if n, err := friend.Read(make([]byte, 1)); n != 1 {
		t.Errorf("a friend reads: %v", err)
	}
}

// as connects as another user: whose a connection is, is told by the thread that made it.
func as(t *testing.T, uid int, to net.Addr) net.Conn {
	t.Helper()
	type made struct {
		net.Conn
		err error
	}
	done := make(chan made)
	go func() {
		runtime.LockOSThread() // and never unlocked: the thread ends with us
		if _, _, errno := unix.RawSyscall(unix.SYS_SETRESUID, uintptr(uid), uintptr(uid), uintptr(uid)); errno != 0 {
			done <- made{err: errno}
			return
		}
		c, err := net.Dial("unix", to.String())
		done <- made{c, err}
	}()
	c := <-done
	if c.err != nil {
		t.Fatal(c.err)
	}
	t.Cleanup(func() { c.Close() })
	return c.Conn
}
