package nettest_test

import (
	"bufio"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"syscall"
	"time"

	"transom/platform/lab"
)

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
	_ = open.SetDeadline(time.Now().Add(patience))
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
	_ = c.SetDeadline(time.Now().Add(patience)) // an error shows in what follows
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
	if err := c.SetDeadline(time.Now().Add(patience)); err != nil {
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
	ctx, cancel := context.WithTimeout(w.ctx, patience)
	defer cancel()
	c, err := from.Dial(ctx, to)
	if err != nil {
		return "", "", err
	}
	defer c.Close()
	if err := c.SetDeadline(time.Now().Add(patience)); err != nil {
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
