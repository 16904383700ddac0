package nettest_test

import (
	"bufio"
	"context"
	"crypto/tls"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"syscall"
	"testing"
	"time"

	"transom/platform/lab"
)

// How a visitor's connection went: its certificate tells.
const (
	direct   = "direct"
	captured = "captured"
	refused  = "refused"
)

// Whom the server saw.
const (
	seenClient     = "the client's address"
	seenClientPort = "the client's address and port"
	seenGateway    = "the gateway"
	seenAnybody    = "anybody"
)

// site has the server tell everybody who asks from where it is asked: by HTTP
// on port 80, by HTTPS on 443, 8443 and more ports, by UDP on 443 and 5353.
func (w *world) site(more ...uint16) {
	w.t.Helper()
	w.serveOn(w.listen(80), tellFrom)
	for _, port := range append([]uint16{443, 8443}, more...) {
		w.secure(w.Server, port)
	}
	w.datagrams(443)
	w.datagrams(5353)
}

func tellFrom(rw http.ResponseWriter, req *http.Request) { io.WriteString(rw, req.RemoteAddr) }

// secure has any host tell the same by HTTPS.
func (w *world) secure(h *lab.Host, port uint16) {
	w.t.Helper()
	l, err := h.Listen(w.ctx, netip.AddrPortFrom(netip.IPv6Unspecified(), port))
	if err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(func() { l.Close() })
	w.serveOn(tls.NewListener(l, w.tls()), tellFrom)
}

// datagrams answers those to a port of the server with where they came from.
// Each address has a socket: answers have to come from the one that was asked.
func (w *world) datagrams(port uint16) {
	w.t.Helper()
	for _, f := range families {
		var pc *net.UDPConn
		err := w.Server.Do(func() (err error) {
			pc, err = net.ListenUDP("udp", net.UDPAddrFromAddrPort(addrPort(f.addr, port)))
			return err
		})
		if err != nil {
			w.t.Fatal(err)
		}
		done := make(chan struct{})
		go func() {
			defer close(done)
			answerFrom(pc)
		}()
		w.t.Cleanup(func() {
			pc.Close()
			<-done
		})
	}
}

func answerFrom(pc *net.UDPConn) {
	b := make([]byte, 1500)
	for {
		_, from, err := pc.ReadFromUDPAddrPort(b)
		if err != nil {
			return
		}
		from = netip.AddrPortFrom(from.Addr().Unmap(), from.Port())
		_, _ = pc.WriteToUDPAddrPort([]byte(from.String()), from) // lost datagrams are noticed
	}
}

// A journey is how a connection went.
type journey struct {
	what        string
	how         string
	local, seen netip.AddrPort // the visitor's own address, and what the server saw
	err         error
}

// want fails t unless the visit went as it must. Packets through a gateway that
// translates are seen from its address.
func (v journey) want(t *testing.T, how, seen string) {
	t.Helper()
	ok := false
	switch seen {
	case seenClient:
		ok = v.seen.Addr() == v.local.Addr()
	case seenClientPort:
		ok = v.seen == v.local
	case seenGateway:
		ok = v.seen.Addr() == netip.MustParseAddr(lab.WANAddr4) || v.seen.Addr() == netip.MustParseAddr(lab.WANAddr6)
	case seenAnybody:
		ok = true
	}
	if v.how != how || !ok && how != refused {
		t.Errorf("%s was %s (%v), seen from %v by the server; want it %s, and %s seen", v.what, v.how, v.err, v.seen, how, seen)
	}
}

// reach opens a TLS connection from a host, and asks there.
func (w *world) reach(from *lab.Host, d *net.Dialer, to netip.AddrPort) (v journey) {
	ctx, cancel := context.WithTimeout(w.ctx, 20*time.Second)
	defer cancel()
	v.what = fmt.Sprintf("the connection of %s to %s", from.Name(), to)
	c, err := from.DialWith(ctx, d, to)
	if err != nil {
		return v.failed(err)
	}
	defer c.Close()
	v.local = netip.MustParseAddrPort(c.LocalAddr().String())
	_ = c.SetDeadline(time.Now().Add(20 * time.Second)) // fails if it is closed, and then so does what follows
	return v.ask(c)
}

func (v journey) failed(err error) journey {
	if v.err = err; v.how == "" {
		v.how = "broken"
	}
	if errors.Is(err, syscall.ECONNREFUSED) || errors.Is(err, syscall.ECONNRESET) && v.how == "broken" {
		v.how = refused
	}
	return v
}

// ask begins TLS, looks by whom the certificate is, and asks for the page.
func (v journey) ask(c net.Conn) journey {
	s := tls.Client(c, &tls.Config{ServerName: shop, InsecureSkipVerify: true}) // whose certificate it is is the question
	if err := s.Handshake(); err != nil {
		return v.failed(err)
	}
	v.how = captured
	if s.ConnectionState().PeerCertificates[0].Issuer.CommonName == "origin authority" {
		v.how = direct
	}
	if _, err := io.WriteString(s, "GET / HTTP/1.1\r\nHost: "+shop+"\r\nConnection: close\r\n\r\n"); err != nil {
		return v.failed(err)
	}
	resp, err := http.ReadResponse(bufio.NewReader(s), nil)
	if err != nil {
		return v.failed(err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		return v.failed(err)
	}
	if v.seen, err = netip.ParseAddrPort(string(b)); err != nil {
		return v // another page, which does not tell
	}
	v.seen = netip.AddrPortFrom(v.seen.Addr().Unmap(), v.seen.Port())
	return v
}

// reachEach asks the server's port 443 by IPv4 and IPv6.
func (w *world) reachEach(from *lab.Host) (vs []journey) {
	return w.reachPort(from, 443)
}

func (w *world) reachPort(from *lab.Host, port uint16) (vs []journey) {
	for _, f := range families {
		vs = append(vs, w.reach(from, &net.Dialer{}, addrPort(f.addr, port)))
	}
	return vs
}

// wantAll checks visits to a port by IPv4 and IPv6.
func (w *world) wantAll(from *lab.Host, port uint16, how, seen string) {
	w.t.Helper()
	for _, v := range w.reachPort(from, port) {
		v.want(w.t, how, seen)
	}
}

// others checks that all else of a client goes on as if nothing were captured:
// UDP, ICMP, another TCP port, also from the very port of a connection that is
// captured.
func (w *world) others(from *lab.Host, seen string) {
	w.t.Helper()
	w.wantAll(from, 8443, direct, seen)
	for _, f := range families {
		w.wantDatagram(from, addrPort(f.addr, 5353), seen)
		if err := w.ping(from, netip.MustParseAddr(f.addr)); err != nil {
			w.t.Errorf("%s: ping: %v", f.name, err)
		}
		w.samePort(from, f.addr, seen)
	}
}

// samePort connects to another port of the server, from the port that a
// captured connection has.
func (w *world) samePort(from *lab.Host, addr, seen string) {
	w.t.Helper()
	reuse := net.Dialer{Control: func(_, _ string, c syscall.RawConn) (err error) {
		ctlErr := c.Control(func(fd uintptr) { err = syscall.SetsockoptInt(int(fd), syscall.SOL_SOCKET, syscall.SO_REUSEADDR, 1) })
		return errors.Join(ctlErr, err)
	}}
	open, err := from.DialWith(w.ctx, &reuse, addrPort(addr, 443))
	if err != nil {
		w.t.Error(err)
		return
	}
	defer open.Close()
	again := reuse
	again.LocalAddr = open.LocalAddr()
	w.reach(from, &again, addrPort(addr, 8443)).want(w.t, direct, seen)
	_ = open.SetDeadline(time.Now().Add(20 * time.Second))
	v := journey{what: "the connection whose port was used twice", local: netip.MustParseAddrPort(open.LocalAddr().String())}
	if v = v.ask(open); v.err != nil {
		w.t.Errorf("%s: %v", v.what, v.err)
	}
}

// wantDatagram sends a datagram and looks at whom the server saw.
func (w *world) wantDatagram(from *lab.Host, to netip.AddrPort, seen string) {
	w.t.Helper()
	v := w.datagram(from, to)
	v.want(w.t, direct, seen)
}

func (w *world) datagram(from *lab.Host, to netip.AddrPort) (v journey) {
	v.what = fmt.Sprintf("the datagram of %s to %s", from.Name(), to)
	var c *net.UDPConn
	err := from.Do(func() (err error) {
		c, err = net.DialUDP("udp", nil, net.UDPAddrFromAddrPort(to))
		return err
	})
	if err != nil {
		return v.failed(err)
	}
	defer c.Close()
	v.local = netip.MustParseAddrPort(c.LocalAddr().String())
	b := make([]byte, 1500)
	_ = c.SetDeadline(time.Now().Add(10 * time.Second)) // an error shows in what follows
	if _, err := c.Write([]byte("who")); err != nil {
		return v.failed(err)
	}
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

// ping sends an ICMP echo request and waits for the answer.
func (w *world) ping(from *lab.Host, to netip.Addr) error {
	network, request, reply := "ip4:icmp", byte(8), byte(0)
	if to.Is6() {
		network, request, reply = "ip6:ipv6-icmp", 128, 129
	}
	var c *net.IPConn
	err := from.Do(func() (err error) {
		c, err = net.DialIP(network, nil, &net.IPAddr{IP: to.AsSlice()})
		return err
	})
	if err != nil {
		return err
	}
	defer c.Close()
	if err := c.SetDeadline(time.Now().Add(10 * time.Second)); err != nil {
		return err
	}
	msg := []byte{request, 0, 0, 0, 0x74, 0x72, 0, 1, 'h', 'i'}
	if to.Is4() { // for IPv6 the kernel sums up
		var sum uint32
		for i := 0; i < len(msg); i += 2 {
			sum += uint32(binary.BigEndian.Uint16(msg[i:]))
		}
		binary.BigEndian.PutUint16(msg[2:], ^uint16(sum+sum>>16))
	}
	if _, err := c.Write(msg); err != nil {
		return err
	}
	b := make([]byte, 1500)
	for {
		n, _, err := c.ReadFromIP(b) // takes the IP header off
		if err != nil {
			return err
		}
		if n >= 8 && b[0] == reply && b[4] == msg[4] && b[5] == msg[5] {
			return nil
		}
	}
}

// ownService starts a web server of the gateway's own on port 80, and returns
// what checks that clients reach it and nobody else, on each of its addresses.
func (w *world) ownService() (check func()) {
	w.t.Helper()
	l, err := w.Gateway.Listen(w.ctx, netip.AddrPortFrom(netip.IPv6Unspecified(), 80))
	if err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(func() { l.Close() })
	w.serveOn(l, func(rw http.ResponseWriter, req *http.Request) { io.WriteString(rw, "own "+req.RemoteAddr) })
	return func() {
		w.t.Helper()
		for _, addr := range []string{lab.LANAddr4, lab.LANAddr6, lab.WANAddr4, lab.WANAddr6} {
			if got, local, err := w.plain(w.Client, addrPort(addr, 80)); err != nil || got != "own "+local {
				w.t.Errorf("the gateway's own service at %s answered %q, %v; want it to see %s", addr, got, err, local)
			}
		}
	}
}

// plain asks a web server by HTTP, and returns the page and who asked.
func (w *world) plain(from *lab.Host, to netip.AddrPort) (page, local string, err error) {
	ctx, cancel := context.WithTimeout(w.ctx, 20*time.Second)
	defer cancel()
	c, err := from.Dial(ctx, to)
	if err != nil {
		return "", "", err
	}
	defer c.Close()
	if err := c.SetDeadline(time.Now().Add(20 * time.Second)); err != nil {
		return "", "", err
	}
	if _, err := fmt.Fprintf(c, "GET / HTTP/1.0\r\nHost: %s\r\n\r\n", to); err != nil {
		return "", "", err
	}
	resp, err := http.ReadResponse(bufio.NewReader(c), nil)
	if err != nil {
		return "", "", err
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	return string(b), c.LocalAddr().String(), err
}
