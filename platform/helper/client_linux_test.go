package helper_test

import (
	"errors"
	"io"
	"net"
	"net/netip"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"transom/platform"
	"transom/platform/helper"
	"transom/platform/lab"
	"transom/platform/nft"
)

// upstream is a socket as egress asks for it.
func upstream(from string) platform.Socket {
	s := platform.Socket{Mark: platform.DefaultMarks().Upstream, Require: true}
	if from != "" {
		s.Bind, s.Transparent = netip.MustParseAddrPort(from), true
	}
	return s
}

// dial dials from the gateway.
func (b *bed) dial(t testing.TB, s platform.Socket, dst netip.AddrPort) (c net.Conn, err error) {
	err = b.Gateway.Do(func() error {
		c, err = b.Dial(t.Context(), s, dst)
		return err
	})
	return c, err
}

// origin accepts on the server, tells each connection whose it is, and ends it.
func (b *bed) origin(t testing.TB, at string) netip.AddrPort {
	t.Helper()
	l, err := b.Server.Listen(t.Context(), netip.MustParseAddrPort(at))
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	t.Cleanup(func() { l.Close(); <-done })
	go func() {
		defer close(done)
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			_, _ = io.WriteString(c, c.RemoteAddr().String())
			c.Close()
		}
	}()
	return netip.MustParseAddrPort(l.Addr().String())
}

// divert brings the answers to foreign addresses to the gateway, as the rules do.
func (b *bed) divert(t testing.TB) {
	t.Helper()
	m := platform.DefaultMarks()
	err := b.Gateway.Do(func() error {
		c, err := nft.Dial()
		if err != nil {
			return err
		}
		defer c.Close()
		var batch nft.Batch
		batch.Add(&nft.Table{Family: nft.Inet, Name: "divert", Chains: []nft.Chain{{
			Name: "pre", Type: "filter", Hook: nft.Prerouting, Priority: -150, Rules: []nft.Rule{{nft.SocketTransparent(), nft.SetMark(m.In, m.Mask), nft.Accept()}},
		}}})
		return c.Commit(&batch)
	})
	if err == nil {
		err = b.Gateway.Divert(m.In, m.Mask, 7890)
	}
	if err != nil {
		t.Fatal(err)
	}
}

func TestApply(t *testing.T) {
	b := start(t, charter())
	b.diary.await(t, "open nft")
	want := charter().Steering
	if err := b.Apply(t.Context(), want); err != nil {
		t.Fatal(err)
	}
	b.diary.await(t, "on")
	for name, change := range map[string]func(*platform.Steering){
		"port":      func(s *platform.Steering) { s.Port++ },
		"interface": func(s *platform.Steering) { s.Interfaces = []string{"wan0"} },
		"local":     func(s *platform.Steering) { s.Local = true },
		"marks":     func(s *platform.Steering) { s.Marks, _ = platform.MarksOf(0x700) },
	} {
		other := want
		change(&other)
		if err := b.Apply(t.Context(), other); !errors.Is(err, helper.ErrRefused) {
			t.Errorf("with another %s: %v", name, err)
		}
	}
	want.Draining = true
	if err := b.Apply(t.Context(), want); err != nil {
		t.Fatal(err)
	}
	b.diary.await(t, "draining")
	if err := b.Apply(t.Context(), platform.Steering{}); err != nil {
		t.Fatal(err)
	}
	b.diary.await(t, "off")
	if err := b.SelfTest(t.Context()); err != nil {
		t.Error(err)
	}
	if err := b.Close(); err != nil {
		t.Error(err)
	}
	b.diary.nothing(t)
	if err := b.Apply(t.Context(), charter().Steering); !errors.Is(err, helper.ErrLost) {
		t.Errorf("after Close: %v", err)
	}
}

func TestListen(t *testing.T) {
	b := start(t, charter())
	client := platform.DefaultMarks().Client
	l, err := b.Listen(t.Context(), platform.Socket{Bind: netip.MustParseAddrPort("[::]:8080"), Transparent: true, Require: true, Mark: client})
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	c, err := b.Client.Host.Dial(t.Context(), platform.Socket{}, netip.MustParseAddrPort("127.0.0.1:8080"))
	if err == nil {
		c.Close()
		t.Error("the listener is not in the gateway's namespace")
	}
	for _, from := range []string{lab.LANAddr4, lab.LANAddr6} {
		c, err := b.Net.Client.Dial(t.Context(), netip.AddrPortFrom(netip.MustParseAddr(from), 8080))
		if err != nil {
			t.Fatal(err)
		}
		s, err := l.AcceptTCP()
		if err != nil {
			t.Fatal(err)
		}
		for option, want := range map[int]int{unix.SO_MARK: int(client), unix.SO_KEEPALIVE: 1} {
			if got := sockopt(t, s, unix.SOL_SOCKET, option); got != want {
				t.Errorf("socket option %d is %d, want %d", option, got, want)
			}
		}
		if got := sockopt(t, s, unix.IPPROTO_TCP, unix.TCP_KEEPIDLE); got != 60 {
			t.Errorf("keep-alives begin after %d s", got)
		}
		c.Close()
		s.Close()
	}
	if _, err := b.Listen(t.Context(), platform.Socket{Bind: netip.MustParseAddrPort("127.0.0.1:9"), Transparent: true, Require: true}); !errors.Is(err, helper.ErrRefused) {
		t.Errorf("on another port: %v", err)
	}
	if _, err := b.Listen(t.Context(), platform.Socket{Bind: netip.MustParseAddrPort("[::]:8080"), Transparent: true}); !errors.Is(err, unix.EADDRINUSE) {
		t.Errorf("twice: %v", err)
	}
}

func sockopt(t *testing.T, c *net.TCPConn, level, option int) (value int) {
	t.Helper()
	raw, err := c.SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	e := raw.Control(func(fd uintptr) { value, err = unix.GetsockoptInt(int(fd), level, option) })
	if err := errors.Join(e, err); err != nil {
		t.Fatal(err)
	}
	return value
}

func TestDial(t *testing.T) {
	b := start(t, charter())
	b.divert(t)
	v4, v6 := b.origin(t, lab.ServerAddr4+":80"), b.origin(t, "["+lab.ServerAddr6+"]:80")
	for name, tt := range map[string]struct {
		from string
		dst  netip.AddrPort
		want string // the address, or with the port
	}{
		"plain":           {"", v4, lab.WANAddr4},
		"plain-v6":        {"", v6, lab.WANAddr6},
		"address":         {lab.ClientAddr4 + ":0", v4, lab.ClientAddr4},
		"address-v6":      {"[" + lab.ClientAddr6 + "]:0", v6, lab.ClientAddr6},
		"port":            {lab.ClientAddr4 + ":50000", v4, lab.ClientAddr4 + ":50000"},
		"port-v6":         {"[" + lab.ClientAddr6 + "]:50000", v6, "[" + lab.ClientAddr6 + "]:50000"},
		"port-below-1024": {lab.ClientAddr4 + ":512", v4, lab.ClientAddr4 + ":512"},
		"mapped":          {"[::ffff:" + lab.ClientAddr4 + "]:50001", v4, lab.ClientAddr4 + ":50001"},
	} {
		t.Run(name, func(t *testing.T) {
			if tt.dst.Addr().Is6() && !b.Gateway.IPv6() {
				return
			}
			c, err := b.dial(t, upstream(tt.from), tt.dst)
			if err != nil {
				t.Fatal(err)
			}
			defer c.Close()
			said, err := io.ReadAll(c)
			if err != nil {
				t.Fatal(err)
			}
			got := netip.MustParseAddrPort(string(said))
			if got.String() != tt.want && got.Addr().String() != tt.want {
				t.Errorf("the server saw %s, want %s", got, tt.want)
			}
		})
	}
	for name, from := range map[string]string{
		"another-network": "10.9.0.77:0",
		"another-family":  "[fd09::77]:0",
		"loopback":        "127.0.0.1:0",
		"this-host":       lab.LANAddr4 + ":0",
	} {
		dst := v4
		if netip.MustParseAddrPort(from).Addr().Is6() {
			dst = v6
		}
		if _, err := b.dial(t, upstream(from), dst); !errors.Is(err, helper.ErrRefused) || !errors.Is(err, unix.EPERM) {
			t.Errorf("from %s: %v", name, err)
		}
	}
}

// TestWithoutOptions: what is wanted, but not required, is done without if the
// charter does not have it.
func TestWithoutOptions(t *testing.T) {
	c := charter()
	c.Mark = false
	b := start(t, c)
	dst := b.origin(t, lab.ServerAddr4+":80")
	s := upstream("")
	if _, err := b.dial(t, s, dst); !errors.Is(err, helper.ErrRefused) {
		t.Errorf("a mark that is required: %v", err)
	}
	s.Require = false
	for range 2 {
		conn, err := b.dial(t, s, dst)
		if err != nil {
			t.Fatal(err)
		}
		conn.Close()
	}
	if n := strings.Count(b.log.String(), "not marked"); n != 1 {
		t.Errorf("told %d times of marks: %s", n, b.log)
	}
	s.Mark++
	if _, err := b.dial(t, s, dst); !errors.Is(err, helper.ErrRefused) {
		t.Errorf("another mark: %v", err)
	}
	l, err := b.Listen(t.Context(), platform.Socket{Bind: netip.MustParseAddrPort("127.0.0.2:0"), Transparent: true})
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	if l.Transparent || !errors.Is(l.Denied, helper.ErrRefused) {
		t.Errorf("transparent %v, denied %v", l.Transparent, l.Denied)
	}
}

// TestPassThrough: what needs no right is done here.
func TestPassThrough(t *testing.T) {
	b := start(t, charter())
	if !b.Own(netip.MustParseAddr(lab.LANAddr4)) || b.Own(netip.MustParseAddr(lab.ClientAddr4)) {
		t.Error("its own addresses are not the gateway's")
	}
	c, err := b.dial(t, platform.Socket{}, b.origin(t, lab.ServerAddr4+":80"))
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if _, _, err := b.OriginalDst(t.Context(), c); !errors.Is(err, platform.ErrDirect) {
		t.Errorf("original destination: %v", err)
	}
}
