package steer_test

import (
	"errors"
	"net/netip"
	"testing"
	"unsafe"

	"golang.org/x/sys/unix"

	"transom/platform"
	"transom/platform/lab"
	"transom/platform/steer"
)

// TestClientSocketsBeginNothing takes a socket that TPROXY has brought, which is
// transparent and marked, and has it connect elsewhere, as a proxy might that was
// taken over: its first packet does not leave.
func TestClientSocketsBeginNothing(t *testing.T) {
	w := newRouter(t)
	elsewhere, err := w.Server.Listen(t.Context(), netip.MustParseAddrPort(lab.ServerAddr4+":9999"))
	if err != nil {
		t.Fatal(err)
	}
	defer elsewhere.Close()
	var k *steer.Kernel
	var l *platform.Listener
	if err := w.Gateway.Do(func() (err error) {
		if k, err = steer.Open(nil); err != nil {
			return err
		}
		host, err := platform.Here(nil)
		if err != nil {
			return err
		}
		defer host.Close()
		l, err = host.Listen(t.Context(), platform.Socket{
			Bind: netip.MustParseAddrPort("[::]:8080"), Transparent: true, Require: true, Mark: platform.DefaultMarks().Client,
		})
		return err
	}); err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	defer k.Close()
	if err := k.Apply(t.Context(), platform.Steering{Method: platform.TPROXY, Port: 8080, Interfaces: []string{"lan0"}}); err != nil {
		t.Fatal(err)
	}
	client, err := w.Client.Dial(t.Context(), netip.MustParseAddrPort(lab.ServerAddr4+":80"))
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	c, err := l.AcceptTCP()
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	f, err := c.File()
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	fd := int(f.Fd())
	nowhere := unix.RawSockaddr{Family: unix.AF_UNSPEC}
	if _, _, errno := unix.Syscall(unix.SYS_CONNECT, uintptr(fd), uintptr(unsafe.Pointer(&nowhere)), unix.SizeofSockaddrInet4); errno != 0 {
		t.Fatalf("disconnect: %v", errno)
	}
	if err := unix.SetsockoptInt(fd, unix.IPPROTO_TCP, unix.TCP_USER_TIMEOUT, 500); err != nil { // ms
		t.Fatal(err)
	}
	to := &unix.SockaddrInet6{Port: 9999, Addr: netip.MustParseAddr("::ffff:" + lab.ServerAddr4).As16()}
	switch err := unix.Connect(fd, to); {
	case err == nil:
		t.Error("it connects")
	case !errors.Is(err, unix.ETIMEDOUT):
		t.Errorf("it fails with %v, want that nobody answers", err)
	}
}
