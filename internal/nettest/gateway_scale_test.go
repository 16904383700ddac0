package nettest_test

import (
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"transom/platform/lab"
)

const (
	connections20k = 20000
	addresses      = 200
	atOnce         = 2500
)

// TestGatewayScale makes very many spoofed connections to one server: from many
// addresses one after the other, and from one address all at once. Each has to
// be seen as its client's.
func TestGatewayScale(t *testing.T) {
	w := newGatewayWorld(t)
	// The echo begins with whom it sees.
	w.handle(80, func(c *net.TCPConn) {
		if _, err := fmt.Fprintf(c, "%s\n", c.RemoteAddr()); err == nil {
			_, _ = io.Copy(c, c) // ends with the connection
		}
	})
	w.filter(strict)
	clients := w.addresses()
	g := w.gateway("--method", "tproxy", "--spoof-source", "ip+port", "--flow-detail", "0", "-o", w.path("flows"))
	w.spoofed(clients[0]).Close() // whatever is opened once is open now
	idle := g.size()

	var next, failed atomic.Int64
	var wg sync.WaitGroup
	for range 64 {
		wg.Go(func() {
			for n := next.Add(1); n <= connections20k; n = next.Add(1) {
				c, err := w.trySpoofed(clients[n%addresses])
				if err != nil {
					if failed.Add(1) < 10 {
						t.Errorf("connection %d: %v", n, err)
					}
					continue
				}
				c.Close()
			}
		})
	}
	wg.Wait()
	if n := failed.Load(); n > 0 {
		t.Fatalf("%d of %d connections failed", n, connections20k)
	}
	g.settles(idle)

	open := make([]net.Conn, atOnce)
	var gate sync.WaitGroup
	gate.Add(1)
	for i := range open {
		wg.Go(func() {
			gate.Wait()
			c, err := w.trySpoofed(clients[0])
			if err != nil {
				if failed.Add(1) < 10 {
					t.Errorf("connection %d of those at once: %v", i, err)
				}
				return
			}
			open[i] = c
		})
	}
	before := g.size()
	gate.Done()
	wg.Wait()
	now := g.size()
	t.Logf("%d connections at once: the proxy has %d bytes and %.1f descriptors more for each, the helper %d bytes and %.1f",
		atOnce, (now.proxy.memory-before.proxy.memory)/atOnce, float64(now.proxy.descriptors-before.proxy.descriptors)/atOnce,
		(now.helper.memory-before.helper.memory)/atOnce, float64(now.helper.descriptors-before.helper.descriptors)/atOnce)
	for _, c := range open {
		if c != nil {
			c.Close()
		}
	}
	g.settles(idle)
	g.stop()
	w.noneInvalid()
}

// addresses gives the client more of them.
func (w *world) addresses() []netip.Addr {
	w.t.Helper()
	all := []netip.Addr{netip.MustParseAddr(lab.ClientAddr4)}
	for a := netip.MustParseAddr("192.168.1.10"); len(all) < addresses; a = a.Next() {
		if err := w.Client.AddAddr("eth0", netip.PrefixFrom(a, 24)); err != nil {
			w.t.Fatal(err)
		}
		all = append(all, a)
	}
	return all
}

// spoofed opens a connection from an address, and checks whom the server saw.
func (w *world) spoofed(from netip.Addr) net.Conn {
	w.t.Helper()
	c, err := w.trySpoofed(from)
	if err != nil {
		w.t.Fatal(err)
	}
	return c
}

func (w *world) trySpoofed(from netip.Addr) (net.Conn, error) {
	d := &net.Dialer{Timeout: patience, LocalAddr: net.TCPAddrFromAddrPort(netip.AddrPortFrom(from, 0))}
	c, err := w.Client.DialWith(w.ctx, d, addrPort(lab.ServerAddr4, 80))
	if err != nil {
		return nil, err
	}
	if err := c.SetDeadline(time.Now().Add(patience)); err != nil {
		return nil, err
	}
	if err := greeted(c); err != nil {
		c.Close()
		return nil, err
	}
	return c, nil
}

// greeted reads whom the server saw, which has to be the client, and has a text
// sent back.
func greeted(c net.Conn) error {
	const text = "\x00echo"
	want := c.LocalAddr().String() + "\n" + text
	if _, err := io.WriteString(c, text); err != nil {
		return err
	}
	b := make([]byte, len(want))
	n, err := io.ReadFull(c, b)
	if string(b[:n]) != want {
		return fmt.Errorf("got %q, %v, want %q", b[:n], err, want)
	}
	return nil
}

// A size is what processes take.
type size struct{ proxy, helper taken }

type taken struct {
	memory      int64 // bytes that are resident
	descriptors int
}

func (g *gateway) size() size {
	g.t.Helper()
	return size{takenBy(g.t, g.pid()), takenBy(g.t, g.w.process(helper))}
}

func takenBy(t *testing.T, pid int) (n taken) {
	t.Helper()
	list, err := os.ReadDir(fmt.Sprintf("/proc/%d/fd", pid))
	if err != nil {
		t.Fatal(err)
	}
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		t.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(b), "\nVmRSS:")
	if _, err := fmt.Sscanf(rest, "%d kB", &n.memory); err != nil {
		t.Fatal(err)
	}
	return taken{memory: n.memory << 10, descriptors: len(list)}
}

// settles waits until no more descriptors are open than before. A few of the
// runtime's own may come: pipes to splice with are kept.
func (g *gateway) settles(before size) {
	g.t.Helper()
	const spare = 16
	var now size
	eventually(g.t, fmt.Sprintf("descriptors to be closed but for %d of the proxy and %d of the helper",
		before.proxy.descriptors, before.helper.descriptors), func() bool {
		now = g.size()
		return now.proxy.descriptors <= before.proxy.descriptors+spare && now.helper.descriptors <= before.helper.descriptors
	})
	g.t.Logf("idle: the proxy has %d descriptors, %d before, the helper %d, %d before; %d and %d KiB are resident",
		now.proxy.descriptors, before.proxy.descriptors, now.helper.descriptors, before.helper.descriptors,
		now.proxy.memory>>10, now.helper.memory>>10)
}
