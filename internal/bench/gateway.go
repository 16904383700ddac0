package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"slices"
	"strconv"
	"time"

	"transom/platform/lab"
	"transom/platform/nft"
)

// A method is a way for a gateway to bring connections to itself and to go on
// from there.
type method struct {
	name, title string
	flags       []string
	spoofs      bool // the server sees the client's address and port
	reads       bool // what connections carry is read and recorded
}

// methods measure what a gateway's way costs, beside plain forwarding. Nothing is
// read of what connections carry. The kernel answers a client before there is a
// server; only the answer to a request has gone all the way. Datagrams are read and
// recorded, since that is all that is done with them.
func methods(perOp, bulk []row) []measure {
	milliseconds := func(of func(sample) time.Duration) func(sample) float64 {
		return func(s sample) float64 { return of(s).Seconds() * 1e3 }
	}
	latency := []row{
		{"connect p50, ms", milliseconds(func(s sample) time.Duration { return s.Stood50 })},
		{"connect p99, ms", milliseconds(func(s sample) time.Duration { return s.Stood99 })},
		{"answer p50, ms", milliseconds(func(s sample) time.Duration { return s.P50 })},
		{"answer p99, ms", milliseconds(func(s sample) time.Duration { return s.P99 })},
		{"CPU, µs", func(s sample) float64 { return float64(s.Processor.Nanoseconds()) / 1e3 / float64(s.Ops) }},
	}
	var all []measure
	for _, x := range []method{
		{name: "redirect", title: "REDIRECT", flags: []string{"--method", "redirect", "--spoof-source", "none"}},
		{name: "tproxy", title: "TPROXY", flags: []string{"--method", "tproxy", "--spoof-source", "none"}},
		{name: "spoof", title: "TPROXY, ip+port", flags: []string{"--method", "tproxy", "--spoof-source", "ip+port"}, spoofs: true},
	} {
		all = append(all,
			measure{
				name: "open-" + x.name, title: "new connection by " + x.title,
				job: job{Kind: open, Rate: openRate, Conns: conns}, pass: true, method: &x, rows: latency,
			},
			measure{
				name: "bulk-" + x.name, title: "download by " + x.title,
				job: job{Kind: download, Conns: 1}, pass: true, method: &x, rows: bulk,
			})
	}
	for _, x := range []struct {
		name, title string
		job         job
	}{
		{"udp", "datagram there and back", job{Kind: keepAlive, Proto: udp, Conns: conns}},
		{"dns", "DNS query, 32 ports", job{Kind: keepAlive, Proto: dns, Conns: conns}},
		{"dns-new", "DNS query, new port", job{Kind: connect, Proto: dns, Conns: conns / 2}},
	} {
		m := &method{flags: []string{"--udp-ports", "53,5000", "--spoof-source", "ip+port"}, spoofs: true, reads: true}
		all = append(all, measure{name: x.name, title: x.title + ", recorded", job: x.job, pass: true, method: m, rows: perOp})
	}
	return all
}

// openRate is how many connections are opened a second. It is far from what can
// be done: what is measured is no queue.
const openRate = 200

// excluded is an address of the client's that a gateway leaves alone: plain
// forwarding is measured from it, since the rules stay.
const excluded = "192.168.1.3"

// gatewayPort is where a gateway listens. It is below the ports that the client
// takes: a listener on all addresses keeps its port from being assumed.
const gatewayPort = 8080

// gatewayTable is the table that brings connections.
const gatewayTable = "transom"

// gatewayCommand has transom put its own rules in force.
func gatewayCommand(w *world, m measure) []string {
	args := []string{
		"gateway", "--interface", "lan0", "--exclude", excluded, "--listen-port", strconv.Itoa(gatewayPort),
		"--ca-dir", w.path("ca"),
	}
	if !m.method.reads {
		args = append(args, "--ignore-hosts", ".")
	}
	return append(args, m.method.flags...)
}

// steered waits until a gateway's rules are in force.
func (w *world) steered(ctx context.Context) error {
	try := time.NewTicker(5 * time.Millisecond)
	defer try.Stop()
	for {
		chains, err := w.nft.Chains()
		if err != nil {
			return err
		}
		// The table is there before it has something in it.
		if slices.ContainsFunc(chains, func(c nft.ChainInfo) bool { return c.Table == gatewayTable && c.Name == "capture" }) {
			return nil
		}
		select {
		case <-try.C:
		case <-ctx.Done():
			return fmt.Errorf("wait for the gateway's rules: %w", context.Cause(ctx))
		}
	}
}

// comesFrom makes sure that connections take the way that is measured: it asks
// the origin server where it sees one come from.
func (w *world) comesFrom(ctx context.Context, m *method, proxied bool) error {
	d := &net.Dialer{Timeout: patience}
	if !proxied {
		d.LocalAddr = &net.TCPAddr{IP: net.ParseIP(excluded)}
	}
	c, err := w.Client.DialWith(ctx, d, server(httpPort))
	if err != nil {
		return err
	}
	defer c.Close()
	seen, err := whence(c)
	if err != nil {
		return fmt.Errorf("ask where a connection comes from: %w", err)
	}
	switch from := netip.MustParseAddr(lab.WANAddr4); {
	case proxied && !m.spoofs && seen.Addr() != from:
		return fmt.Errorf("the server sees %s, and not the gateway's %s: it is not redirected", seen, from)
	case (!proxied || m.spoofs) && seen.String() != c.LocalAddr().String():
		return fmt.Errorf("the server sees %s, and not the client's %s", seen, c.LocalAddr())
	}
	return nil
}

// whence asks for fromPath.
func whence(c net.Conn) (a netip.AddrPort, err error) {
	if err := c.SetDeadline(time.Now().Add(patience)); err != nil {
		return a, err
	}
	if _, err := c.Write(request(fromPath, hostName)); err != nil {
		return a, err
	}
	resp, err := http.ReadResponse(bufio.NewReader(c), nil)
	if err != nil {
		return a, err
	}
	body, err := io.ReadAll(resp.Body)
	if err := errors.Join(err, resp.Body.Close()); err != nil {
		return a, err
	}
	return netip.ParseAddrPort(string(body))
}
