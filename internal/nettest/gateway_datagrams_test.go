package nettest_test

import (
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/net/dns/dnsmessage"

	"transom/platform/lab"
)

// wantDatagrams sends three datagrams from one socket, and looks at whom the server
// saw. The socket is connected: an answer from elsewhere would not be read.
func (w *world) wantDatagrams(from *lab.Host, port uint16, seen string) {
	w.t.Helper()
	for _, f := range families {
		to := addrPort(f.addr, port)
		c := w.udp(from, to)
		for range 3 {
			v := w.exchange(c, "who")
			v.what = fmt.Sprintf("a datagram of %s to %s", from.Name(), to)
			v.want(w.t, direct, seen)
		}
		c.Close()
	}
}

// udp returns a socket of a host's that is connected to an address.
func (w *world) udp(from *lab.Host, to netip.AddrPort) (c *net.UDPConn) {
	w.t.Helper()
	if err := from.Do(func() (err error) {
		c, err = net.DialUDP("udp", nil, net.UDPAddrFromAddrPort(to))
		return err
	}); err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(func() { c.Close() })
	return c
}

// exchange sends a datagram and reads whom the server saw.
func (w *world) exchange(c *net.UDPConn, say string) (v journey) {
	v.local = netip.MustParseAddrPort(c.LocalAddr().String())
	_ = c.SetDeadline(time.Now().Add(patience)) // an error shows in what follows
	if _, err := c.Write([]byte(say)); err != nil {
		return v.failed(err)
	}
	b := make([]byte, 1500)
	n, err := c.Read(b)
	if err != nil {
		return v.failed(err)
	}
	v.how = direct
	if v.seen, err = netip.ParseAddrPort(string(b[:n])); err != nil {
		return v.failed(err)
	}
	return v
}

// TestGatewayDatagrams captures UDP in each environment, and with each kind of
// source.
func TestGatewayDatagrams(t *testing.T) {
	kinds := []struct{ name, spoof, seen string }{
		{"ip+port", "ip+port", seenClientPort}, {"none", "none", seenGateway},
	}
	for _, e := range environments() {
		for _, kind := range kinds {
			if kind.spoof == "none" && e.name != "strict" && e.name != "iptables-backend-strict" && e.name != "masquerade" {
				continue
			}
			t.Run(e.name+"-"+kind.name, func(t *testing.T) {
				need(t, strings.Fields(e.needs)...)
				w := newGatewayWorld(t)
				w.site()
				e.set(w)
				seen, seenDirect := kind.seen, seenClient
				if e.translated {
					seen, seenDirect = seenGateway, seenGateway
				}
				before := w.state(w.Gateway)
				g := w.gateway(slices.Concat([]string{"--udp-ports", "5353", "--quic", "pass", "--spoof-source", kind.spoof}, e.args)...)
				w.wantDatagrams(w.Client, 5353, seen)
				w.wantDatagrams(w.Client, 443, seenDirect)
				w.wantAll(w.Client, 443, captured, seen)
				if t.Failed() {
					return
				}
				g.stop()
				w.restored(w.Gateway, before)
				w.wantDatagrams(w.Client, 5353, seenDirect)
				if e.end != nil {
					e.end(w)
				}
				udp := slices.DeleteFunc(g.records(), func(r record) bool { return r.Type != "udp" })
				if len(udp) != 2 {
					t.Fatalf("%d conversations are recorded", len(udp))
				}
				for _, r := range udp {
					if r.Error != "" || r.Capture != "tproxy" || r.Messages.ToServer.Count != 3 || r.Messages.ToClient.Count != 3 {
						t.Errorf("%+v", r)
					}
				}
			})
		}
	}
}

// resolver answers queries at the server's addresses, by UDP and TCP.
func (w *world) resolver() {
	w.t.Helper()
	for _, f := range families {
		w.answers(addrPort(f.addr, 53), func(q []byte) []byte { return resolved(q, 0) })
	}
	l, err := w.Server.Listen(w.ctx, netip.AddrPortFrom(netip.IPv6Unspecified(), 53))
	if err != nil {
		w.t.Fatal(err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			resolveStream(c)
			c.Close()
		}
	}()
	w.t.Cleanup(func() {
		l.Close()
		<-done
	})
}

// answers has the server answer datagrams to one of its addresses, until the test
// ends.
func (w *world) answers(at netip.AddrPort, answer func([]byte) []byte) {
	w.t.Helper()
	w.answersOn(w.Server, at, answer)
}

// answersOn has a host answer so.
func (w *world) answersOn(h *lab.Host, at netip.AddrPort, answer func([]byte) []byte) {
	w.t.Helper()
	var pc *net.UDPConn
	if err := h.Do(func() (err error) {
		pc, err = net.ListenUDP("udp", net.UDPAddrFromAddrPort(at))
		return err
	}); err != nil {
		w.t.Fatal(err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		b := make([]byte, 1500)
		for {
			n, from, err := pc.ReadFromUDPAddrPort(b)
			if err != nil {
				return
			}
			_, _ = pc.WriteToUDPAddrPort(answer(b[:n]), from) // lost datagrams are noticed
		}
	}()
	w.t.Cleanup(func() {
		pc.Close()
		<-done
	})
}

func resolveStream(c net.Conn) {
	for {
		var n [2]byte
		if _, err := io.ReadFull(c, n[:]); err != nil {
			return
		}
		q := make([]byte, int(n[0])<<8|int(n[1]))
		if _, err := io.ReadFull(c, q); err != nil {
			return
		}
		a := resolved(q, 60)
		if _, err := c.Write(append([]byte{byte(len(a) >> 8), byte(len(a))}, a...)); err != nil {
			return
		}
	}
}

// resolved answers a query for an address, and with more records if asked to.
func resolved(q []byte, more int) []byte {
	var m dnsmessage.Message
	if err := m.Unpack(q); err != nil || len(m.Questions) != 1 {
		return nil
	}
	m.Response, m.RecursionAvailable, m.Additionals = true, true, nil
	h := dnsmessage.ResourceHeader{Name: m.Questions[0].Name, Class: dnsmessage.ClassINET, TTL: 60}
	switch m.Questions[0].Type {
	case dnsmessage.TypeA:
		m.Answers = []dnsmessage.Resource{{Header: h, Body: &dnsmessage.AResource{A: [4]byte{10, 9, 0, 2}}}}
		for i := range more {
			m.Answers = append(m.Answers, dnsmessage.Resource{Header: h, Body: &dnsmessage.AResource{A: [4]byte{10, 0, 0, byte(i)}}})
		}
	default:
		m.RCode = dnsmessage.RCodeNameError
	}
	p, err := m.Pack()
	if err != nil {
		return nil
	}
	return p
}

// TestGatewayDNS has dig and Python ask.
func TestGatewayDNS(t *testing.T) {
	need(t, "dig", "python3")
	w := newGatewayWorld(t)
	w.resolver()
	before := w.state(w.Gateway)
	g := w.gateway("--udp-ports", "53", "--ports", "53,80,443")
	n := 0
	for _, f := range families {
		for _, tt := range []struct{ args, answer, rcode string }{
			{"+short shop.example", "10.9.0.2", "NOERROR"},
			{"+short +tcp shop.example", "10.9.0.2", "NOERROR"},
			{"+short +noedns +cookie shop.example AAAA", "", "NXDOMAIN"},
		} {
			args := append([]string{"@" + f.addr, "+tries=1", "+time=60"}, strings.Fields(tt.args)...)
			if got := w.must(w.Client, "dig", args...); !strings.HasPrefix(got, tt.answer) {
				t.Errorf("dig %v: %q", args, got)
			}
			n++
			var dns struct {
				Query  struct{ Questions []struct{ Name, Type string } }
				Answer struct {
					RCode   string
					Answers []struct{ Data string }
				}
			}
			g.await(n, of("dns"))
			lines := strings.Split(strings.TrimSpace(g.out.String()), "\n")
			last := 0
			for i, l := range lines {
				if strings.HasPrefix(l, `{"type":"dns"`) {
					last = i
				}
			}
			if err := json.Unmarshal([]byte(lines[last]), &dns); err != nil {
				t.Fatal(err)
			}
			if dns.Answer.RCode != tt.rcode || dns.Query.Questions[0].Name != "shop.example" || tt.answer != "" && dns.Answer.Answers[0].Data != tt.answer {
				t.Errorf("dig %v is recorded as %+v", args, dns)
			}
		}
	}
	script := w.write("ask.py", `
import socket, sys
for family, addr in ((socket.AF_INET, sys.argv[1]), (socket.AF_INET6, sys.argv[2])):
    s = socket.socket(family, socket.SOCK_DGRAM)
    s.settimeout(60)
    q = b"\x12\x34\x01\x00\x00\x01\x00\x00\x00\x00\x00\x00\x04shop\x07example\x00\x00\x01\x00\x01"
    s.sendto(q, (addr, 53))
    answer, source = s.recvfrom(4096)
    assert source[:2] == (addr, 53), source
    assert answer[:2] == b"\x12\x34" and answer[-4:] == bytes([10, 9, 0, 2]), answer
print("good")
`)
	if got := w.must(w.Client, "python3", script, families[0].addr, families[1].addr); got != "good\n" {
		t.Errorf("python: %q", got)
	}
	g.await(n+2, of("dns"))
	g.stop()
	w.restored(w.Gateway, before)
}

// TestGatewayDNSByThisHost answers from a low port, where no client's is assumed.
func TestGatewayDNSByThisHost(t *testing.T) {
	need(t, "dig")
	w := newGatewayWorld(t)
	w.resolver()
	g := w.gateway("--udp-ports", "53", "--spoof-source", "none")
	for _, f := range families {
		if got := w.must(w.Client, "dig", "@"+f.addr, "+tries=1", "+time=60", "+short", "shop.example"); got != "10.9.0.2\n" {
			t.Errorf("dig says %q", got)
		}
	}
	g.stop()
}

// TestGatewayConversationsOutliveTheHelper kills the helper while one goes on.
func TestGatewayConversationsOutliveTheHelper(t *testing.T) {
	w := newGatewayWorld(t)
	w.site()
	g := w.gateway("--udp-ports", "5353")
	c := w.udp(w.Client, addrPort(families[0].addr, 5353))
	w.exchange(c, "who").want(t, direct, seenClientPort)
	w.killHelper()
	eventually(t, "the gateway to capture again", w.armed)
	for range 3 {
		w.exchange(c, "who").want(t, direct, seenClientPort)
	}
	w.wantDatagrams(w.Client, 5353, seenClientPort) // by sockets that the new helper has made
	g.stop()
	if n := len(slices.DeleteFunc(g.records(), func(r record) bool { return r.Type != "udp" })); n != 3 {
		t.Errorf("%d conversations are recorded", n)
	}
}

// TestGatewayManyDatagrams has many clients' ports ask one destination at once: what
// is answered reaches who has asked, and nothing is left of it.
func TestGatewayManyDatagrams(t *testing.T) {
	w := newGatewayWorld(t)
	w.site()
	g := w.gateway("--udp-ports", "all", "--quic", "pass")
	to := addrPort(families[0].addr, 5353)
	descriptors := func() int {
		list, err := os.ReadDir(fmt.Sprintf("/proc/%d/fd", g.pid()))
		if err != nil {
			t.Fatal(err)
		}
		return len(list)
	}
	before := descriptors()
	const clients = 100
	results := make(chan journey)
	for range clients {
		c := w.udp(w.Client, to)
		go func() {
			var v journey
			for range 5 {
				if v = w.exchange(c, "who"); v.err != nil || v.seen != v.local {
					break
				}
			}
			results <- v
		}()
	}
	for range clients {
		v := <-results
		v.what = "a datagram among many"
		v.want(t, direct, seenClientPort)
	}
	t.Logf("%d descriptors more for %d conversations", descriptors()-before, clients)
	g.stop()
	udp := slices.DeleteFunc(g.records(), func(r record) bool { return r.Type != "udp" })
	if len(udp) != clients {
		t.Errorf("%d conversations are recorded", len(udp))
	}
	for _, r := range udp {
		if r.Messages.ToServer.Count != 5 || r.Messages.ToClient.Count != 5 {
			t.Errorf("%+v", r)
		}
	}
}

// TestGatewayQUICAndDatagrams has all UDP captured and QUIC refused.
func TestGatewayQUICAndDatagrams(t *testing.T) {
	w := newGatewayWorld(t)
	w.site()
	w.gateway("--udp-ports", "all", "--spoof-source", "none")
	w.wantDatagrams(w.Client, 5353, seenGateway)
	for _, f := range families {
		if v := w.exchange(w.udp(w.Client, addrPort(f.addr, 443)), "who"); v.how != refused {
			t.Errorf("QUIC over %s was %s (%v)", f.name, v.how, v.err)
		}
	}
}
