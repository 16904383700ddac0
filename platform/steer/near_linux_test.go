package steer_test

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"transom/internal/testnet/labtest"
	"transom/platform"
	"transom/platform/lab"
)

// send sends a datagram with a mark from a host, and returns what became of it.
func send(t *testing.T, h *lab.Host, mark uint32, to string) (err error) {
	t.Helper()
	if err := h.Do(func() error {
		d := net.Dialer{Control: func(_, _ string, c syscall.RawConn) (err error) {
			if e := c.Control(func(fd uintptr) { err = unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_MARK, int(mark)) }); e != nil {
				return e
			}
			return err
		}}
		c, e := d.Dial("udp", to)
		if e != nil {
			return e
		}
		defer c.Close()
		_, err = c.Write([]byte("hello"))
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	return err
}

// nobodyNear has what carries the mark of sockets towards servers kept from
// link-local addresses, and from no others; and nothing else kept from these.
func nobodyNear(t *testing.T, n *lab.Net, m platform.Marks) {
	t.Helper()
	for _, p := range prefixes("169.254.1.1/16", "fe80::1/64") {
		if err := n.Gateway.AddAddr("wan0", p); err != nil {
			t.Fatal(err)
		}
	}
	for _, to := range []string{"169.254.169.254:80", "[fe80::a9fe%wan0]:80"} {
		if err := send(t, n.Gateway, m.Upstream, to); !errors.Is(err, syscall.EPERM) {
			t.Errorf("%s: %v, want it dropped", to, err)
		}
		if err := send(t, n.Gateway, 0, to); err != nil {
			t.Errorf("%s, without the mark: %v", to, err)
		}
	}
	for _, server := range servers() {
		to := netip.AddrPortFrom(netip.MustParseAddr(server), 9).String()
		if err := send(t, n.Gateway, m.Upstream, to); err != nil {
			t.Errorf("%s: %v", to, err)
		}
	}
}

func TestNobodyNear(t *testing.T) {
	for _, m := range []platform.Method{platform.TPROXY, platform.Redirect} {
		t.Run(fmt.Sprint(m), func(t *testing.T) {
			n := labtest.Gateway(t)
			s := usual(m)
			apply(t, open(t, n.Gateway), s)
			nobodyNear(t, n, s.Marks.OrDefault())
		})
	}
}

func TestIPTablesNobodyNear(t *testing.T) {
	byIPTables(t, func(w *router, x *steered) {
		x.start()
		defer x.do(func() error { return x.Close() })
		s := usual(platform.TPROXY)
		x.apply(s)
		nobodyNear(w.T, w.Net, s.Marks.OrDefault())
	})
}
