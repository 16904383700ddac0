package platform_test

import (
	"errors"
	"net"
	"os"
	"runtime"
	"syscall"
	"testing"
	"time"

	"transom/internal/testnet"
	"transom/platform"
)

// sockets returns the two ends of a connection.
func sockets(t *testing.T) (far, near *net.TCPConn) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	a, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { a.Close() })
	b, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { b.Close() })
	return a.(*net.TCPConn), b.(*net.TCPConn)
}

func TestAwaitReset(t *testing.T) {
	for name, before := range map[string]func(far, near *net.TCPConn) error{
		"at-once":           func(*net.TCPConn, *net.TCPConn) error { return nil },
		"behind-bytes":      func(far, _ *net.TCPConn) error { _, err := far.Write([]byte("hello")); return err },
		"after-fin":         func(far, _ *net.TCPConn) error { return far.CloseWrite() },
		"after-an-end-read": func(far, near *net.TCPConn) error { far.CloseWrite(); near.Read(make([]byte, 1)); return nil },
	} {
		t.Run(name, func(t *testing.T) {
			testnet.Need(t, runtime.GOOS == "linux", "Linux, which wakes a reader for a reset in each of these cases")
			far, near := sockets(t)
			if err := before(far, near); err != nil {
				t.Fatal(err)
			}
			got := make(chan error, 1)
			go func() { got <- platform.AwaitReset(near) }()
			far.SetLinger(0)
			far.Close()
			if err := <-got; !errors.Is(err, syscall.ECONNRESET) {
				t.Errorf("got %v", err)
			}
		})
	}
	t.Run("ended-by-deadline", func(t *testing.T) {
		far, near := sockets(t)
		far.CloseWrite()
		near.Read(make([]byte, 1))
		got := make(chan error, 1)
		go func() { got <- platform.AwaitReset(near) }()
		near.SetReadDeadline(time.Unix(1, 0))
		if err := <-got; err != nil {
			t.Errorf("got %v, want nil", err)
		}
		if _, err := near.Read(make([]byte, 1)); !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("then read %v", err)
		}
	})
	t.Run("no-socket", func(t *testing.T) {
		a, b := net.Pipe()
		defer a.Close()
		b.Close()
		if err := platform.AwaitReset(a); err != nil {
			t.Errorf("got %v, want nil", err)
		}
	})
}
