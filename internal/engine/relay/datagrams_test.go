package relay_test

import (
	"context"
	"errors"
	"io"
	"net"
	"net/netip"
	"os"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"transom/flow"
	"transom/internal/engine/relay"
	"transom/internal/testnet"
	"transom/message"
	"transom/platform"
)

// ends returns a client, a server, and what is between them.
func ends() (client, server *testnet.Packets, d *relay.Datagrams) {
	a := netip.MustParseAddrPort("192.0.2.1:1000")
	b := netip.MustParseAddrPort("192.0.2.2:2000")
	client, ours := testnet.PacketPipe(a, b)
	theirs, server := testnet.PacketPipe(a, b)
	return client, server, &relay.Datagrams{Client: ours, Server: theirs, Once: 30 * time.Second, Stream: 3 * time.Minute}
}

func TestDatagramsHurry(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for name, before := range map[string]bool{"before": true, "while": false} {
			client, server, d := ends()
			d.Once = 0 // for ever
			begun := time.Now()
			if before {
				d.Hurry(time.Second)
			} else {
				time.AfterFunc(time.Second, func() { d.Hurry(time.Second) })
			}
			if r := d.Run(t.Context()); r.Err != nil || r.Client != flow.NotClosed || r.Server != flow.NotClosed {
				t.Errorf("%s: %+v", name, r)
			}
			if since := time.Since(begun); since != time.Second {
				t.Errorf("%s: it took %v", name, since)
			}
			client.Close()
			server.Close()
		}
	})
}

// busy is a client's conn that knows of something that is not read yet, until it says
// otherwise.
type busy struct {
	net.Conn
	until time.Time
}

func (b busy) Waits() bool { return time.Now().Before(b.until) }

func TestDatagramsThatWaitHoldTheEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		client, server, d := ends()
		defer client.Close()
		defer server.Close()
		begun := time.Now()
		d.Client = busy{d.Client, begun.Add(50 * time.Millisecond)}
		d.Hurry(1)
		if r := d.Run(t.Context()); r.Err != nil {
			t.Errorf("%+v", r)
		}
		if since := time.Since(begun); since < 50*time.Millisecond || since > 60*time.Millisecond {
			t.Errorf("it took %v", since)
		}
	})
}

func TestDatagramsAreCut(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		client, server, d := ends()
		defer client.Close()
		defer server.Close()
		ctx, cancel := context.WithCancel(t.Context())
		time.AfterFunc(time.Second, cancel)
		if r := d.Run(ctx); r.Err != nil {
			t.Errorf("%+v", r)
		}
	})
}

// failing fails to write.
type failing struct {
	net.Conn
	err error
}

func (f failing) Write([]byte) (int, error) { return 0, os.NewSyscallError("write", f.err) }

func TestDatagramsThatCannotBeSent(t *testing.T) {
	for errno, lost := range map[syscall.Errno]bool{
		syscall.EMSGSIZE: true, syscall.ENOBUFS: true, syscall.EPERM: true,
		syscall.ECONNREFUSED: false, syscall.ENETUNREACH: false,
	} {
		synctest.Test(t, func(t *testing.T) {
			client, server, d := ends()
			defer client.Close()
			defer server.Close()
			d.Server = failing{d.Server, errno}
			for range 3 {
				_, _ = client.Write([]byte("x"))
			}
			r := d.Run(t.Context())
			if lost && (r.Lost != 3 || r.Err != nil) || !lost && (r.Server == flow.NotClosed || !errors.Is(r.Err, errno)) {
				t.Errorf("%v: %+v", errno, r)
			}
		})
	}
}

func TestDatagramsOfAClientThatIsGone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		client, server, d := ends()
		defer server.Close()
		client.Close()
		_, _ = server.Write([]byte("x"))
		if r := d.Run(t.Context()); r.Client != flow.Refused || r.Server != flow.NotClosed || r.Bytes != [2]int64{0, 1} {
			t.Errorf("%+v", r)
		}
	})
}

// loopback returns both ends of a UDP conversation on this machine.
func loopback(t testing.TB) (a net.Conn, b *platform.PacketConn) {
	t.Helper()
	open := func() *net.UDPConn {
		c, err := net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { c.Close() })
		return c
	}
	// A socket can't be connected after the fact by package net, so each end is made
	// anew at the port that it had.
	first, second := open(), open()
	x, y := first.LocalAddr().(*net.UDPAddr), second.LocalAddr().(*net.UDPAddr)
	first.Close()
	second.Close()
	connect := func(from, to *net.UDPAddr) *net.UDPConn {
		c, err := net.DialUDP("udp4", from, to)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { c.Close() })
		return c
	}
	p, err := platform.NewPacketConn(connect(y, x))
	if err != nil {
		t.Fatal(err)
	}
	return connect(x, y), p
}

// between returns a client and a server of real sockets with a relay between them.
func between(t testing.TB) (client, server net.Conn, d *relay.Datagrams) {
	client, ours := loopback(t)
	server, theirs := loopback(t)
	return client, server, &relay.Datagrams{Client: ours, Server: theirs, Once: time.Minute, Stream: time.Minute}
}

// run relays until the returned function is called.
func run(d *relay.Datagrams) (stop func()) {
	ctx, cancel := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	wg.Go(func() { d.Run(ctx) })
	return func() {
		cancel()
		wg.Wait()
	}
}

func TestDatagramsAllocateNothing(t *testing.T) {
	client, server, d := between(t)
	defer run(d)()
	b := make([]byte, 2000)
	round := func() {
		for _, c := range [][2]net.Conn{{client, server}, {server, client}} {
			if _, err := c[0].Write(b[:1200]); err != nil {
				t.Fatal(err)
			}
			if n, err := c[1].Read(b); n != 1200 || err != nil {
				t.Fatal(n, err)
			}
		}
	}
	round()
	if n := testing.AllocsPerRun(200, round); n > 0.1 && !racing { // a collection may empty the pool
		t.Errorf("%v allocations for two datagrams", n)
	}
}

func BenchmarkDatagrams(b *testing.B) {
	client, server, d := between(b)
	defer run(d)()
	buf := make([]byte, 1200)
	b.SetBytes(1200)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := client.Write(buf); err != nil {
			b.Fatal(err)
		}
		if _, err := io.ReadAtLeast(server, buf, 1200); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkDatagramsSilent is what a conversation holds that says nothing.
func BenchmarkDatagramsSilent(b *testing.B) {
	var stops []func()
	b.ReportAllocs()
	for b.Loop() {
		_, _, d := between(b)
		d.Pass = func(message.Direction, []byte) error { return nil }
		stops = append(stops, run(d))
	}
	for _, stop := range stops {
		stop()
	}
}
