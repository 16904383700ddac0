package platform

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"runtime"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

// accepted returns a connection from Listen and its client's end.
func accepted(t testing.TB, h Host) (server net.Conn, client net.Conn) {
	t.Helper()
	l, err := h.Listen(context.Background(), Socket{Bind: netip.MustParseAddrPort("127.0.0.1:0")})
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	client, err = h.Dial(context.Background(), Socket{}, netip.MustParseAddrPort(l.Addr().String()))
	if err != nil {
		t.Fatal(err)
	}
	server, err = l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { server.Close(); client.Close() })
	return server, client
}

func open(t testing.TB) *here {
	t.Helper()
	h, err := Here(nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := h.Close(); err != nil {
			t.Error(err)
		}
	})
	return h.(*here)
}

// wrapped is a conn around a conn, as TLS and peeked ones are.
type wrapped struct{ net.Conn }

func (w wrapped) NetConn() net.Conn { return w.Conn }

// TestOriginalDst plays kernels by their answers; real ones are asked in
// package capture.
func TestOriginalDst(t *testing.T) {
	h := open(t)
	c, _ := accepted(t, h)
	local := netip.MustParseAddrPort(c.LocalAddr().String())
	other := netip.MustParseAddrPort("198.51.100.7:443")
	tests := map[string]struct {
		answer netip.AddrPort
		err    error
		direct bool
		dst    netip.AddrPort
	}{
		"redirected":            {answer: other, dst: other},
		"own-port-80":           {answer: netip.AddrPortFrom(local.Addr(), 80), dst: netip.AddrPortFrom(local.Addr(), 80)},
		"ourselves":             {answer: local, direct: true},
		"no-entry":              {err: unix.ENOENT, direct: true},
		"conntrack-not-loaded":  {err: unix.ENOPROTOOPT, direct: true},
		"mptcp-socket":          {err: unix.EOPNOTSUPP},
		"something-else":        {err: unix.EPERM},
		"wrapped-errno-is-seen": {err: fmt.Errorf("x: %w", unix.ENOENT), direct: true},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			h := &here{log: h.log, own: h.own, original: func(*net.TCPConn, bool) (netip.AddrPort, error) { return tt.answer, tt.err }}
			dst, via, err := h.OriginalDst(t.Context(), wrapped{wrapped{c}})
			if tt.dst.IsValid() {
				if err != nil || dst != tt.dst || via != "redirect" {
					t.Fatalf("= %v, %q, %v; want %v by redirect", dst, via, err, tt.dst)
				}
				return
			}
			if err == nil || errors.Is(err, ErrDirect) != tt.direct || tt.err != nil && !errors.Is(err, tt.err) {
				t.Fatalf("= %v, %q, %v; want an error, direct %v", dst, via, err, tt.direct)
			}
		})
	}
}

func TestOriginalDstOfNoSocket(t *testing.T) {
	h := open(t)
	a, b := net.Pipe()
	defer a.Close()
	defer b.Close()
	if _, _, err := h.OriginalDst(t.Context(), a); !errors.Is(err, ErrUnsupported) {
		t.Errorf("of a pipe: %v", err)
	}
	c, _ := accepted(t, h)
	c.Close()
	if _, _, err := h.OriginalDst(t.Context(), c); err == nil || errors.Is(err, ErrDirect) {
		t.Errorf("of a closed connection: %v", err)
	}
}

func TestOwn(t *testing.T) {
	h := open(t)
	for a, want := range map[string]bool{
		"127.0.0.1":          true,
		"127.8.9.10":         true,
		"::1":                true,
		"::ffff:127.0.0.1":   true,
		"0.0.0.0":            true,
		"::":                 true,
		"192.0.2.1":          false,
		"2001:db8::1":        false,
		"fe80::1234:1%noif0": false,
	} {
		if got := h.Own(netip.MustParseAddr(a)); got != want {
			t.Errorf("Own(%s) = %v", a, got)
		}
	}
	if h.Own(netip.Addr{}) {
		t.Error("Own(no address)")
	}
	list, err := net.InterfaceAddrs()
	if err != nil {
		t.Fatal(err)
	}
	for _, l := range list {
		a, _ := netip.AddrFromSlice(l.(*net.IPNet).IP)
		if !h.Own(a) || !h.Own(a.Unmap()) || a.Is6() && !h.Own(a.WithZone("x")) {
			t.Errorf("Own(%s) = false", a)
		}
	}
	if n := testing.AllocsPerRun(100, func() { h.Own(netip.MustParseAddr("192.0.2.1")) }); n != 0 {
		t.Errorf("Own allocates %v times", n)
	}
}

// unprivileged runs f on a thread without capabilities, which ends with it.
func unprivileged(t *testing.T, f func()) {
	t.Helper()
	done := make(chan error)
	go func() {
		runtime.LockOSThread()
		head := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
		var none [2]unix.CapUserData
		err := unix.Capset(&head, &none[0])
		if err == nil {
			f()
		}
		done <- err
	}()
	if err := <-done; err != nil {
		t.Fatal(err)
	}
}

func TestListenWithoutRights(t *testing.T) {
	var log bytes.Buffer
	h := open(t)
	h.log = slog.New(slog.NewTextHandler(&log, nil))
	any := netip.MustParseAddrPort("[::]:0")
	unprivileged(t, func() {
		l, err := h.Listen(t.Context(), Socket{Bind: any, Transparent: true})
		if err != nil {
			t.Error(err)
			return
		}
		defer l.Close()
		if l.Transparent || !errors.Is(l.Denied, unix.EPERM) {
			t.Errorf("transparent %v, denied %v; want EPERM", l.Transparent, l.Denied)
		}
		if l, err := h.Listen(t.Context(), Socket{Bind: any, Transparent: true, Require: true}); !errors.Is(err, unix.EPERM) || !strings.Contains(err.Error(), "CAP_NET_RAW") {
			t.Errorf("required: %v, %v; want EPERM and what is lacking", l, err)
		}
		for range 2 {
			l, err := h.Listen(t.Context(), Socket{Bind: any, Mark: 0x30})
			if err != nil {
				t.Error(err)
				return
			}
			l.Close()
		}
		if n := strings.Count(log.String(), "not marked"); n != 1 {
			t.Errorf("told %d times of marks: %s", n, &log)
		}
		if _, err := h.Dial(t.Context(), Socket{Mark: 1, Require: true}, netip.MustParseAddrPort("127.0.0.1:1")); !errors.Is(err, unix.EPERM) {
			t.Errorf("dial with a mark that is required: %v", err)
		}
	})
}

func TestListenIsDualStack(t *testing.T) {
	h := open(t)
	l, err := h.Listen(t.Context(), Socket{Bind: netip.MustParseAddrPort("[::]:0")})
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	port := netip.MustParseAddrPort(l.Addr().String()).Port()
	c, err := h.Dial(t.Context(), Socket{}, netip.AddrPortFrom(netip.MustParseAddr("::ffff:127.0.0.1"), port))
	if err != nil {
		t.Fatal(err)
	}
	c.Close()
	if _, err := h.Listen(t.Context(), Socket{Bind: netip.AddrPortFrom(netip.IPv4Unspecified(), port)}); !errors.Is(err, unix.EADDRINUSE) {
		t.Errorf("the IPv4 port is free beside a dual-stack listener: %v", err)
	}
}

func TestDial(t *testing.T) {
	h := open(t)
	l, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	dst := netip.MustParseAddrPort(l.Addr().String())
	for _, bind := range []string{"127.0.0.9:0", "[::ffff:127.0.0.9]:0"} {
		c, err := h.Dial(t.Context(), Socket{Bind: netip.MustParseAddrPort(bind)}, dst)
		if err != nil {
			t.Fatal(err)
		}
		if a := netip.MustParseAddrPort(c.LocalAddr().String()); a.Addr() != netip.MustParseAddr("127.0.0.9") {
			t.Errorf("from %s with Bind %s", a, bind)
		}
		c.Close()
	}
	l.Close()
	if _, err := h.Dial(t.Context(), Socket{}, dst); !errors.Is(err, syscall.ECONNREFUSED) {
		t.Errorf("a closed port: %v", err)
	}
}

func TestCloseEndsTheWatch(t *testing.T) {
	h, err := Here(nil)
	if err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if err := h.Close(); err != nil {
			t.Error(err)
		}
	}
}

func BenchmarkOriginalDst(b *testing.B) {
	h := open(b)
	c, _ := accepted(b, h)
	b.ReportAllocs()
	for b.Loop() {
		_, _, _ = h.OriginalDst(b.Context(), c)
	}
}
