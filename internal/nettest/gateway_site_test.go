package nettest_test

import (
	"bufio"
	"context"
	"crypto/tls"
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

// reach opens a TLS connection from a host, and asks there. A dialer that has a timeout
// is for what should not get there: nothing takes longer then.
func (w *world) reach(from *lab.Host, d *net.Dialer, to netip.AddrPort) (v journey) {
	within := patience
	if d.Timeout > 0 {
		within = d.Timeout
	}
	ctx, cancel := context.WithTimeout(w.ctx, within)
	defer cancel()
	v.what = fmt.Sprintf("the connection of %s to %s", from.Name(), to)
	c, err := from.DialWith(ctx, d, to)
	if err != nil {
		return v.failed(err)
	}
	defer c.Close()
	v.local = netip.MustParseAddrPort(c.LocalAddr().String())
	_ = c.SetDeadline(time.Now().Add(within)) // fails if it is closed, and then so does what follows
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
