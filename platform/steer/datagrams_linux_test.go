package steer_test

import (
	"errors"
	"log/slog"
	"net"
	"net/netip"
	"os/exec"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"transom/internal/testnet"
	"transom/internal/testnet/labtest"
	"transom/platform"
	"transom/platform/lab"
	"transom/platform/steer"
)

var elsewhere = map[string]netip.AddrPort{
	lab.ClientAddr4: netip.MustParseAddrPort("203.0.113.53:53"),
	lab.ClientAddr6: netip.MustParseAddrPort("[2001:db8:53::1]:53"),
}

// capturesUDP is a gateway that captures UDP by one backend, and the host that makes its
// sockets.
func capturesUDP(t *testing.T, backend string) (*lab.Net, platform.Host, platform.Steering) {
	t.Helper()
	if backend == "iptables" {
		for _, name := range []string{"iptables", "ip6tables"} {
			_, err := exec.LookPath(name)
			testnet.Need(t, err == nil, "the program "+name)
		}
	}
	n := labtest.Gateway(t)
	s := usual(platform.TPROXY)
	s.UDPPorts = []platform.PortRange{{First: 53, Last: 53}}
	host, err := n.Gateway.Platform(nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { host.Close() })
	var k steer.Steerer
	if err := n.Gateway.Do(func() (err error) {
		k, err = steer.OpenBackend(backend, slog.New(slog.DiscardHandler))
		return err
	}); err != nil {
		t.Fatal(err)
	}
	do := func(s platform.Steering) {
		if err := n.Gateway.Do(func() error { return k.Apply(t.Context(), s) }); err != nil {
			t.Error(err)
		}
	}
	do(s)
	t.Cleanup(func() {
		do(platform.Steering{})
		if err := k.Abandon(); err != nil {
			t.Error(err)
		}
	})
	return n, host, s
}

// TestAnswersGoToClientsAlone has a socket that answers a client speak to a server: who
// parses bytes has such sockets, and may be hostile.
func TestAnswersGoToClientsAlone(t *testing.T) {
	for _, backend := range []string{"nft", "iptables"} {
		t.Run(backend, func(t *testing.T) {
			n, host, s := capturesUDP(t, backend)
			for client, dst := range elsewhere {
				c := bindUDP(t, n.Client, netip.AddrPortFrom(netip.MustParseAddr(client), 4000))
				a, err := host.Answerer(s.Marks.OrDefault().Client).Answer(t.Context(), netip.MustParseAddrPort(c.LocalAddr().String()), dst)
				if err != nil {
					t.Fatal(err)
				}
				defer a.Close()
				if _, err := a.Write([]byte("answer")); err != nil {
					t.Errorf("to the client: %v", err)
				}
				if from := heardFrom(t, c); from != dst {
					t.Errorf("the client hears %v, want %v", from, dst)
				}
				server := lab.ServerAddr4
				if dst.Addr().Is6() {
					server = lab.ServerAddr6
				}
				reconnect(t, a, netip.AddrPortFrom(netip.MustParseAddr(server), 9))
				if _, err := a.Write([]byte("spoofed")); !errors.Is(err, unix.EPERM) {
					t.Errorf("to a server: %v, want that it is not permitted", err)
				}
			}
		})
	}
}

// TestBoundIsNotConnected has a socket bound to a destination, as one is for a moment
// before it is connected to its client: what others send there is not for it.
func TestBoundIsNotConnected(t *testing.T) {
	for _, backend := range []string{"nft", "iptables"} {
		t.Run(backend, func(t *testing.T) {
			n, host, s := capturesUDP(t, backend)
			mark := s.Marks.OrDefault().Client
			l, err := host.ListenUDP(t.Context(), platform.Socket{Bind: netip.MustParseAddrPort("[::]:8080"), Mark: mark})
			if err != nil {
				t.Fatal(err)
			}
			defer l.Close()
			for client, dst := range elsewhere {
				bound := onlyBound(t, n.Gateway, dst, mark)
				c := bindUDP(t, n.Client, netip.AddrPortFrom(netip.MustParseAddr(client), 4000))
				for range 3 {
					if _, err := c.WriteToUDPAddrPort([]byte("hello"), dst); err != nil {
						t.Fatal(err)
					}
					if err := l.Hear(func(_ []byte, from, to netip.AddrPort) {
						if from.Addr().String() != client || to != dst {
							t.Errorf("heard of %v to %v", from, to)
						}
					}); err != nil {
						t.Fatal(err)
					}
				}
				if err := bound.SetReadDeadline(time.Now()); err != nil {
					t.Fatal(err)
				}
				if n, _, err := bound.ReadFrom(make([]byte, 100)); err == nil {
					t.Errorf("the socket that is only bound has heard %d bytes", n)
				}
			}
		})
	}
}

func bindUDP(t *testing.T, h *lab.Host, at netip.AddrPort) (c *net.UDPConn) {
	t.Helper()
	if err := h.Do(func() (err error) {
		c, err = net.ListenUDP("udp", net.UDPAddrFromAddrPort(at))
		return err
	}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

func heardFrom(t *testing.T, c *net.UDPConn) netip.AddrPort {
	t.Helper()
	_ = c.SetReadDeadline(time.Now().Add(within)) // fails if it is closed, and then so does reading
	_, from, err := c.ReadFromUDPAddrPort(make([]byte, 100))
	if err != nil {
		t.Error(err)
	}
	return netip.AddrPortFrom(from.Addr().Unmap(), from.Port())
}

func reconnect(t *testing.T, c *net.UDPConn, to netip.AddrPort) {
	t.Helper()
	var sa unix.Sockaddr = &unix.SockaddrInet6{Addr: to.Addr().As16(), Port: int(to.Port())}
	if to.Addr().Is4() {
		sa = &unix.SockaddrInet4{Addr: to.Addr().As4(), Port: int(to.Port())}
	}
	onFD(t, c, func(fd int) error { return unix.Connect(fd, sa) })
}

// onlyBound returns a socket that is not connected, with somebody else's address.
func onlyBound(t *testing.T, h *lab.Host, at netip.AddrPort, mark uint32) (c net.PacketConn) {
	t.Helper()
	lc := net.ListenConfig{Control: func(_, _ string, raw syscall.RawConn) (err error) {
		e := raw.Control(func(fd uintptr) {
			err = errors.Join(
				unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_MARK, int(mark)),
				unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_REUSEADDR, 1),
				unix.SetsockoptInt(int(fd), unix.SOL_IP, unix.IP_TRANSPARENT, 1))
		})
		return errors.Join(e, err)
	}}
	if err := h.Do(func() (err error) {
		c, err = lc.ListenPacket(t.Context(), "udp", at.String())
		return err
	}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

func onFD(t *testing.T, c *net.UDPConn, f func(fd int) error) {
	t.Helper()
	raw, err := c.SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	var ferr error
	if err := raw.Control(func(fd uintptr) { ferr = f(int(fd)) }); err != nil || ferr != nil {
		t.Fatal(err, ferr)
	}
}
