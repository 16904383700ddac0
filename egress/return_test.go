package egress_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/netip"
	"strings"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"transom/egress"
	"transom/internal/testnet"
)

const again = 10 * time.Minute

// TestNoWayBack: a network that no answers come back to is spoofed no more, and
// tried again once in ten minutes.
func TestNoWayBack(t *testing.T) {
	for _, mode := range []string{"ip", "ip+port", "203.0.113.9"} {
		onGateway(t, mode, func(g *gateway) {
			source := anyPort
			if g.d.Spoof.Mode() == egress.SpoofFixed {
				source = netip.AddrPortFrom(g.d.Spoof.Addr(), 0)
			}
			g.BlackHoleFrom(source)
			g.want(client, first, hosts, pause)
			g.want(client, other, hosts, pause)
			g.want(client, first, hosts, 0)
			if g.logged(slog.LevelWarn) != 1 {
				g.Fatalf("log: %s", &g.log)
			}
			time.Sleep(again - time.Nanosecond) // fake time, as everywhere here
			g.want(client, first, hosts, 0)
			time.Sleep(time.Nanosecond)
			g.want(client, first, hosts, pause)
			g.want(client, first, hosts, 0)
			g.Mend(source)
			time.Sleep(again)
			g.want(client, first, source.Addr().String(), 0)
			g.want(client, first, source.Addr().String(), 0)
			if w, i := g.logged(slog.LevelWarn), g.logged(slog.LevelInfo); w != 1 || i != 1 {
				g.Errorf("%d warnings and %d all-clears, want one each: %s", w, i, &g.log)
			}
		})
	}
}

func TestWarningSaysWhatToCheck(t *testing.T) {
	for mode, which := range map[string]string{"ip": "192.168.1.0/24", "203.0.113.9": "source 203.0.113.9"} {
		onGateway(t, mode, func(g *gateway) {
			g.BlackHoleFrom(anyPort)
			g.BlackHoleFrom(netip.MustParseAddrPort("203.0.113.9:0"))
			for range 2 {
				g.dial(client, first)
			}
			for _, want := range []string{which, first.String(), "no answer came back", "routed back through this host", "masqueraded", "again_in=10m0s"} {
				if !strings.Contains(g.log.String(), want) {
					g.Errorf("it does not say %q: %s", want, &g.log)
				}
			}
		})
	}
}

// TestUnreachableWithTheClientsAddress counts as well, and takes no time.
func TestUnreachableWithTheClientsAddress(t *testing.T) {
	for _, errno := range []syscall.Errno{syscall.EHOSTUNREACH, syscall.ENETUNREACH, syscall.EACCES, syscall.ETIMEDOUT} {
		onGateway(t, "ip+port", func(g *gateway) {
			g.FailFrom(anyPort, errno)
			for range 3 {
				g.want(client, first, hosts, 0)
			}
			if got := len(g.host.Calls()); got != 5 { // the third was not tried
				g.Errorf("%v: the host was asked %q", errno, g.host.Calls())
			}
		})
	}
}

// TestRefusalIsAnAnswer: it is the client's, and shows that there is a way back.
func TestRefusalIsAnAnswer(t *testing.T) {
	onGateway(t, "ip+port", func(g *gateway) {
		closed := netip.AddrPortFrom(first.Addr(), 81)
		g.FailFrom(anyPort, syscall.EHOSTUNREACH)
		g.dial(client, first)
		g.Mend(anyPort)
		g.want(client, closed, syscall.ECONNREFUSED.Error(), 0)
		g.FailFrom(anyPort, syscall.EHOSTUNREACH)
		g.dial(client, first) // the first one again
		g.Mend(anyPort)
		g.want(client, first, theirs, 0)
		if n := len(g.host.Calls()); n != 2+1+2+1 {
			g.Errorf("the host was asked %q", g.host.Calls())
		}
	})
}

// TestRefusedByTheOtherDial: a server that refuses this host and does not answer
// the client's address shows that answers don't come back.
func TestRefusedByTheOtherDial(t *testing.T) {
	onGateway(t, "ip+port", func(g *gateway) {
		closed := netip.AddrPortFrom(first.Addr(), 81)
		g.BlackHoleFrom(anyPort)
		g.want(client, closed, syscall.ECONNREFUSED.Error(), pause)
		g.want(client, closed, syscall.ECONNREFUSED.Error(), pause)
		g.want(client, first, hosts, 0)
	})
}

// TestServerIsDown: that says nothing about the way back.
func TestServerIsDown(t *testing.T) {
	onGateway(t, "ip+port", func(g *gateway) {
		g.BlackHole(first)
		for range 4 {
			g.want(client, first, context.DeadlineExceeded.Error(), 10*time.Second)
		}
		g.Mend(first)
		g.Fail(first, syscall.EHOSTUNREACH)
		for range 4 {
			g.want(client, first, syscall.EHOSTUNREACH.Error(), 0)
		}
		g.want(client, other, theirs, 0)
	})
}

// TestRouterAnswersThisHostOnly: what it says of the server is what the client
// is told.
func TestRouterAnswersThisHostOnly(t *testing.T) {
	onGateway(t, "ip+port", func(g *gateway) {
		g.BlackHoleFrom(anyPort)
		g.Fail(first, syscall.EHOSTUNREACH)
		for range 4 {
			g.want(client, first, syscall.EHOSTUNREACH.Error(), 10*time.Second)
		}
		g.Mend(anyPort)
		g.want(client, other, theirs, 0)
	})
}

// TestSlowServer: the client's address has a start, and so wins.
func TestSlowServer(t *testing.T) {
	onGateway(t, "ip+port", func(g *gateway) {
		g.Delay(first, 3*time.Second)
		for range 4 {
			g.want(client, first, theirs, 3*time.Second)
		}
	})
}

// TestTheLoserIsReset: of two connections that stand at the same moment the
// server keeps one, and sees the other reset.
func TestTheLoserIsReset(t *testing.T) {
	onGateway(t, "ip", func(g *gateway) {
		var mu sync.Mutex
		ends := map[string]int{}
		g.Handle(first, func(c *testnet.Conn) {
			_, err := io.ReadAll(c)
			mu.Lock()
			defer mu.Unlock()
			ends[fmt.Sprint(errors.Is(err, syscall.ECONNRESET))]++
		})
		for range 20 {
			g.Delay(first, pause)
			g.DelayFrom(anyPort, pause) // and so both stand after twice the pause
			if _, took := g.dial(client, first); took != 2*pause {
				g.Errorf("it took %v", took)
			}
		}
		synctest.Wait()
		if n := ends["false"]; n != 20 || ends["true"] > 20 {
			g.Errorf("ended in order %d, reset %d; want 20 in order", n, ends["true"])
		}
	})
}

// TestClientLeaves: nothing goes on, and nothing is concluded.
func TestClientLeaves(t *testing.T) {
	onGateway(t, "ip+port", func(g *gateway) {
		g.BlackHole(first)
		gone := errors.New("gone")
		for range 4 {
			for _, after := range []time.Duration{pause / 2, 2 * pause} {
				ctx, cancel := context.WithTimeoutCause(g.Context(), after, gone)
				start := time.Now()
				if _, err := g.d.Dial(ctx, egress.Target{Addr: first, Client: client}); !errors.Is(err, gone) {
					g.Error(err)
				}
				if took := time.Since(start); took != after {
					g.Errorf("it took %v", took)
				}
				cancel()
			}
		}
		g.want(client, other, theirs, 0)
	})
}

// TestOneServerStrikesOnce where others answer: it may have something against
// this client.
func TestOneServerStrikesOnce(t *testing.T) {
	onGateway(t, "ip+port", func(g *gateway) {
		g.want(client, other, theirs, 0)
		g.FailFrom(anyPort, syscall.EHOSTUNREACH)
		for range 5 {
			g.want(client, first, hosts, 0)
		}
		if g.log.Len() > 0 {
			g.Fatalf("log: %s", &g.log)
		}
		time.Sleep(time.Minute) // fake time: that others answered is long ago
		g.want(client, first, hosts, 0)
		if g.logged(slog.LevelWarn) != 1 {
			g.Errorf("log: %s", &g.log)
		}
	})
	onGateway(t, "ip+port", func(g *gateway) {
		g.want(client, other, theirs, 0)
		g.FailFrom(anyPort, syscall.EHOSTUNREACH)
		g.want(client, first, hosts, 0)
		g.want(client, other, hosts, 0) // but two are two
		if g.logged(slog.LevelWarn) != 1 {
			g.Errorf("log: %s", &g.log)
		}
	})
}

// TestPatience: where answers came back lately a server has longer, also to the
// connections that were begun before.
func TestPatience(t *testing.T) {
	const patience = 5 * time.Second
	onGateway(t, "ip+port", func(g *gateway) {
		g.want(client, other, theirs, 0)
		g.DelayFrom(anyPort, 3*time.Second) // for its SYNs were lost
		g.want(client, first, theirs, 3*time.Second)
		g.FailFrom(anyPort, syscall.EHOSTUNREACH)
		g.want(client, first, hosts, 3*time.Second) // and no longer, once it is known
		g.Mend(anyPort)
		g.want(client, other, theirs, 0)
		g.BlackHoleFrom(anyPort)
		g.want(client, first, hosts, patience)
		time.Sleep(time.Minute) // the address is taken for granted no longer
		g.want(client, first, hosts, pause)
	})
	onGateway(t, "ip+port", func(g *gateway) {
		slow := netip.AddrPortFrom(client.Addr(), client.Port()+1)
		g.DelayFrom(client, pause/2)
		g.DelayFrom(slow, 2*pause)
		var wg sync.WaitGroup
		wg.Go(func() { g.want(client, first, theirs, pause/2) })
		wg.Go(func() { g.want(slow, first, theirs, 2*pause) })
		wg.Wait()
	})
}

// TestNotPermitted: to try goes on costs nothing and is no use.
func TestNotPermitted(t *testing.T) {
	onGateway(t, "ip+port", func(g *gateway) {
		g.FailFrom(anyPort, syscall.EPERM)
		for range 3 {
			g.want(client, first, hosts, 0)
		}
		if got := len(g.host.Calls()); got != 3+1+1 {
			g.Errorf("the host was asked %q", g.host.Calls())
		}
		if g.logged(slog.LevelWarn) != 1 || !strings.Contains(g.log.String(), "CAP_NET_RAW") {
			g.Errorf("log: %s", &g.log)
		}
	})
}

// TestOneTries: of many connections at the time to try again.
func TestOneTries(t *testing.T) {
	onGateway(t, "ip+port", func(g *gateway) {
		g.BlackHoleFrom(anyPort)
		for range 2 {
			g.dial(client, first)
		}
		time.Sleep(again) // the network is tried again
		var mu sync.Mutex
		slow := 0
		var wg sync.WaitGroup
		for range 50 {
			wg.Go(func() {
				if _, took := g.dial(client, first); took > 0 {
					mu.Lock()
					defer mu.Unlock()
					slow++
				}
			})
		}
		wg.Wait()
		if slow != 1 {
			g.Errorf("%d tried", slow)
		}
	})
}

// TestUnclearTrial: one that learned nothing leaves it to the next.
func TestUnclearTrial(t *testing.T) {
	onGateway(t, "ip+port", func(g *gateway) {
		g.FailFrom(anyPort, syscall.EHOSTUNREACH)
		for range 2 {
			g.dial(client, first)
		}
		g.Mend(anyPort)
		time.Sleep(again) // likewise
		g.BlackHole(first)
		g.dial(client, first)
		g.want(client, other, theirs, 0)
	})
}

// TestNetworksApart: what goes for one is nothing to others.
func TestNetworksApart(t *testing.T) {
	at := netip.MustParseAddrPort
	for name, tt := range map[string]struct {
		bad, same, apart string
		to               netip.AddrPort
	}{
		"v4":        {"192.168.1.2:1024", "192.168.1.200:1024", "192.168.2.2:1024", first},
		"v6":        {"[fd01::2]:1024", "[fd01::3:4]:1024", "[fd01:0:0:1::2]:1024", second},
		"narrower":  {"10.0.0.17:1024", "10.0.0.30:1024", "10.0.0.33:1024", first},
		"narrower6": {"[fd02::17]:1024", "[fd02::ff]:1024", "[fd02::1:17]:1024", second},
		"wider":     {"172.16.1.2:1024", "172.16.1.3:1024", "172.16.2.2:1024", first},
	} {
		onGateway(t, "ip+port", func(g *gateway) {
			for _, p := range []string{"10.0.0.0/8", "10.0.0.16/28", "fd02::/112", "172.16.0.0/16"} {
				g.d.Spoof.From = append(g.d.Spoof.From, netip.MustParsePrefix(p))
			}
			g.FailFrom(at(tt.bad), syscall.EHOSTUNREACH)
			for range 2 {
				g.dial(at(tt.bad), tt.to)
			}
			if got, _ := g.dial(at(tt.same), tt.to); got == at(tt.same).Addr().String() {
				g.Errorf("%s: %s is spoofed", name, tt.same)
			}
			if got, _ := g.dial(at(tt.apart), tt.to); got != at(tt.apart).Addr().String() {
				g.Errorf("%s: %s is not spoofed", name, tt.apart)
			}
		})
	}
}

// TestNetworksAreForgotten: there may be any number.
func TestNetworksAreForgotten(t *testing.T) {
	onGateway(t, "ip", func(g *gateway) {
		g.FailFrom(anyPort, syscall.EHOSTUNREACH)
		g.dial(client, first)
		kept := netip.MustParseAddrPort("10.255.255.1:1024")
		g.FailFrom(netip.AddrPortFrom(kept.Addr(), 0), syscall.EHOSTUNREACH)
		for range 2 {
			g.dial(kept, first)
		}
		for i := range 4100 {
			g.dial(netip.AddrPortFrom(netip.AddrFrom4([4]byte{10, byte(i >> 8), byte(i), 1}), 1024), first)
			g.dial(kept, first)
		}
		g.want(client, first, hosts, 0)
		if g.logged(slog.LevelWarn) != 1 { // of the one that was in use
			g.Errorf("a strike is remembered: %s", &g.log)
		}
		calls := len(g.host.Calls())
		g.want(kept, first, hosts, 0)
		if n := len(g.host.Calls()) - calls; n != 1 {
			g.Errorf("what is in use was forgotten: %d dials", n)
		}
	})
}

// TestSpoofIsShared by many connections, and by Directs of several programs.
func TestSpoofIsShared(t *testing.T) {
	onGateway(t, "ip+port", func(g *gateway) {
		second := &egress.Direct{Host: g.host, Timeout: time.Second, Spoof: g.d.Spoof, Own: g.host}
		var wg sync.WaitGroup
		for i := range 200 {
			wg.Go(func() {
				from := netip.AddrPortFrom(netip.AddrFrom4([4]byte{10, 0, byte(i % 7), byte(i)}), 1024)
				if i%3 == 0 {
					g.BlackHoleFrom(netip.AddrPortFrom(from.Addr(), 0))
				}
				for _, d := range []*egress.Direct{g.d, second} {
					if c, err := d.Dial(g.Context(), egress.Target{Addr: first, Client: from}); err == nil {
						c.Close()
					}
				}
			})
		}
		wg.Wait()
	})
}

// TestNamesAreSpoofedToo, each of their addresses in its family.
func TestNamesAreSpoofedToo(t *testing.T) {
	onGateway(t, "ip+port", func(g *gateway) {
		target := named(80)
		target.Client = client
		g.Fail(first, syscall.ECONNREFUSED)
		c, err := g.d.Dial(g.Context(), target)
		if err != nil {
			g.Fatal(err)
		}
		defer c.Close()
		if from := c.LocalAddr().(*net.TCPAddr).AddrPort().Addr(); from != netip.MustParseAddr("2001:db8::1") {
			g.Errorf("it came from %s", from)
		}
		if got := strings.Join(g.host.Calls(), ", "); got != "dial 203.0.113.1:80 from 192.168.1.2:5000 transparent required, dial [2001:db8::2]:80" {
			g.Errorf("the host was asked %q", got)
		}
	})
}
