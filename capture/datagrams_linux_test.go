package capture_test

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"testing"
	"time"

	"transom/capture"
	"transom/internal/testnet/labtest"
	"transom/platform/lab"
	"transom/platform/nft"
)

// tproxyUDP brings UDP to port 53 and 5000 to the listener.
func tproxyUDP(t *testing.T, gw *lab.Host) {
	t.Helper()
	rule := func(port uint16) nft.Rule {
		return nft.Rule{nft.IIFName("lan0"), nft.DPort(nft.UDP, port), nft.TProxy(netip.MustParseAddrPort("[::]:8080")), nft.SetMark(0x10, 0x70), nft.Accept()}
	}
	table := chain("filter", -150, rule(53))
	table.Chains[0].Rules = append(table.Chains[0].Rules, rule(5000))
	if err := gw.Divert(0x10, 0x70, 100); err != nil {
		t.Fatal(err)
	}
	labtest.Rules(t, gw, table)
}

func openDatagrams(t *testing.T, gw *lab.Host, d capture.Datagrams) capture.Source {
	t.Helper()
	h, err := gw.Platform(nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := h.Close(); err != nil {
			t.Error(err)
		}
	})
	s, err := d.Open(t.Context(), capture.Env{Host: h})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}

// udp opens a socket of a client's that is connected to dst.
func udp(t *testing.T, h *lab.Host, dst string) *net.UDPConn {
	t.Helper()
	var c net.Conn
	if err := h.Do(func() (err error) {
		c, err = new(net.Dialer).DialContext(t.Context(), "udp", dst)
		return err
	}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c.(*net.UDPConn)
}

func say(t *testing.T, c net.Conn, text string) {
	t.Helper()
	if _, err := c.Write([]byte(text)); err != nil {
		t.Fatal(err)
	}
}

func hear(t *testing.T, c net.Conn, want string) {
	t.Helper()
	b := make([]byte, 65535)
	_ = c.SetReadDeadline(time.Now().Add(time.Minute)) // a captured one has none, and fails by the test's own limit
	n, err := c.Read(b)
	if err != nil || string(b[:n]) != want {
		t.Fatalf("read %q, %v; want %q", b[:n], err, want)
	}
}

func TestDatagrams(t *testing.T) {
	for name, dst := range map[string]string{
		"v4": lab.ServerAddr4 + ":53", "v6": "[" + lab.ServerAddr6 + "]:53",
	} {
		t.Run(name, func(t *testing.T) {
			n := labtest.Gateway(t)
			tproxyUDP(t, n.Gateway)
			s := openDatagrams(t, n.Gateway, capture.Datagrams{Listen: netip.MustParseAddrPort(dual)})
			client, other := udp(t, n.Client, dst), udp(t, n.Client, dst)
			say(t, client, "one")
			say(t, client, "two")
			c, err := s.Accept(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			defer c.Close()
			if i := c.Info; i.Network != "udp" || i.Via != "tproxy" || i.Dst.String() != dst || i.Client.String() != client.LocalAddr().String() {
				t.Errorf("%+v", i)
			}
			hear(t, c, "one")
			hear(t, c, "two")
			say(t, c, "answer")
			hear(t, client, "answer") // a connected socket takes it from dst alone
			say(t, other, "another")
			o, err := s.Accept(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			defer o.Close()
			hear(t, o, "another")
			for i := range 3 { // both have sockets of their own, for the same destination
				say(t, client, fmt.Sprint("client ", i))
				say(t, other, fmt.Sprint("other ", i))
				hear(t, c, fmt.Sprint("client ", i))
				hear(t, o, fmt.Sprint("other ", i))
			}
			say(t, o, "")
			hear(t, other, "")
			big := string(slices.Repeat([]byte("x"), 60000))
			say(t, client, big)
			hear(t, c, big)
			say(t, c, big)
			hear(t, client, big)
		})
	}
}

// TestDatagramsInOrder sends while the socket is being made.
func TestDatagramsInOrder(t *testing.T) {
	n := labtest.Gateway(t)
	tproxyUDP(t, n.Gateway)
	s := openDatagrams(t, n.Gateway, capture.Datagrams{Listen: netip.MustParseAddrPort(dual)})
	const rounds, each = 50, 20
	for range rounds {
		client := udp(t, n.Client, lab.ServerAddr4+":5000")
		sent := make(chan struct{})
		go func() {
			defer close(sent)
			for i := range each {
				_, _ = client.Write([]byte(fmt.Sprint(i)))
			}
		}()
		c, err := s.Accept(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		for i := range each {
			hear(t, c, fmt.Sprint(i))
		}
		<-sent
		c.Close()
	}
}

func TestDatagramsEnd(t *testing.T) {
	n := labtest.Gateway(t)
	tproxyUDP(t, n.Gateway)
	s := openDatagrams(t, n.Gateway, capture.Datagrams{Listen: netip.MustParseAddrPort(dual)})
	client := udp(t, n.Client, lab.ServerAddr4+":53")
	say(t, client, "hello")
	c, err := s.Accept(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	hear(t, c, "hello")
	ended := make(chan error)
	go func() {
		_, err := c.Read(make([]byte, 10))
		ended <- err
	}()
	go func() {
		_, err := s.Accept(context.Background())
		ended <- err
	}()
	c.Close()
	s.Close()
	for range 2 {
		if err := <-ended; err != net.ErrClosed {
			t.Errorf("what waited got %v", err)
		}
	}
}
