// Package demo shows the proxy at work where nothing can go wrong: a device, a
// gateway and a web server in network namespaces of their own, with a real
// redirect in the kernel, real TLS and the real proxy between them. It needs
// neither root nor a network, and leaves nothing behind. It is not a test and
// not a way to intercept anything else.
package demo

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/netip"
	"sync"
	"time"

	"transom"
	"transom/app/landing"
	"transom/app/show"
	"transom/ca"
	"transom/capture"
	"transom/platform/lab"
	"transom/platform/nft"
	"transom/store"
)

// Options say where the demo prints. Both writers are needed.
type Options struct {
	Out io.Writer // what the device asked and got, and the flows
	Err io.Writer // warnings of the proxy
}

// proxyPort is where the proxy listens on the gateway.
const proxyPort = 8080

// patience bounds the whole demo, which takes about a second.
const patience = time.Minute

var errPatience = errors.New("the demo did not come to its end within a minute")

// Run plays the demo and returns nil if the device got what it asked for, the
// proxy recorded it all, and everything is gone again. If ctx ends it before,
// the error wraps context.Cause(ctx). Without the right to make namespaces it
// fails, and the error says what to do: a program that may lack it calls
// lab.Reexec before.
func Run(ctx context.Context, o Options) error {
	ctx, cancel := context.WithTimeoutCause(ctx, patience, errPatience)
	defer cancel()
	err := play(ctx, o)
	if cause := context.Cause(ctx); cause != nil && !errors.Is(err, cause) {
		// What failed, if anything, did because of it.
		return errors.Join(cause, err)
	}
	if err != nil {
		return err
	}
	_, err = fmt.Fprintln(o.Out, "\nAll of it is gone again: namespaces, rule, server and authority.")
	return err
}

// play builds the scene, lets the device ask, and takes the scene apart, in
// the opposite order, however it ends.
func play(ctx context.Context, o Options) (err error) {
	net, err := lab.Gateway()
	if err != nil {
		return fmt.Errorf("build the demo's networks: %w", err)
	}
	defer func() { err = errors.Join(err, net.Close()) }()

	// 1. The web server, behind the gateway.
	server, err := startServer(ctx, net.Server.Listen, []netip.Addr{
		netip.MustParseAddr(lab.ServerAddr4), netip.MustParseAddr(lab.ServerAddr6),
	})
	if err != nil {
		return err
	}
	defer server.close()

	// 2. The proxy, on the gateway.
	g := &gateway{out: o.Out, log: slog.New(show.LogHandler(o.Err, slog.LevelWarn))}
	if err := g.start(ctx, net.Gateway, server); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, g.stop()) }()

	// 3. The redirect, in the gateway's kernel.
	table := nft.Redirection("transom_demo", "lan0", []uint16{80, 443, linePort}, proxyPort)
	rules, err := redirect(net.Gateway, table)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, rules.Close()) }()

	// 4. The device asks.
	introduce(o.Out, table, net.Client.IPv6())
	d := &device{dial: net.Client.Dial, ipv6: net.Client.IPv6(), ownRoots: server.roots}
	if err := d.play(ctx, o.Out); err != nil {
		return err
	}

	// 5. What the proxy saw of it.
	if err := g.stop(); err != nil {
		return err
	}
	fmt.Fprintln(o.Out, "\nWhat transom saw of it:")
	fmt.Fprintln(o.Out)
	if _, err := o.Out.Write(g.shown.Bytes()); err != nil {
		return err
	}
	return g.check(ctx, d.wanted)
}

// introduce says what there is.
func introduce(w io.Writer, table *nft.Table, ipv6 bool) {
	fmt.Fprintf(w, "A phone (%s), its gateway (%s) and a web server (%s), each in a network\n"+
		"namespace of its own. On the gateway transom listens on port %d, and the kernel\n"+
		"sends it what the phone sends to others:\n\n", lab.ClientAddr4, lab.LANAddr4, lab.ServerAddr4, proxyPort)
	for _, r := range table.Chains[0].Rules {
		fmt.Fprintf(w, "    %s\n", r)
	}
	if !ipv6 {
		fmt.Fprintln(w, "\nThis kernel has no IPv6, so that part is left out.")
	}
	fmt.Fprintln(w, "\nThe phone asks for, and gets:")
	fmt.Fprintln(w)
}

// redirect puts the table in force. It goes when the Conn is closed.
func redirect(h *lab.Host, table *nft.Table) (c *nft.Conn, err error) {
	err = h.Do(func() error {
		c, err = nft.Dial()
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("redirect the phone's connections: %w", err)
	}
	var b nft.Batch
	b.Add(table)
	if err := c.Commit(&b); err != nil {
		return nil, errors.Join(fmt.Errorf("redirect the phone's connections: %w", err), c.Close())
	}
	return c, nil
}

// A gateway is the proxy, and what it showed.
type gateway struct {
	out   io.Writer // only looked at, for its colours
	log   *slog.Logger
	proxy *transom.Proxy

	shown  bytes.Buffer // valid after stop
	drain  context.CancelFunc
	ended  chan error // what Run returned
	wg     sync.WaitGroup
	once   sync.Once
	result error // of stop
}

// start runs the proxy on a host and returns when it listens.
func (g *gateway) start(ctx context.Context, h *lab.Host, server *webServer) error {
	authority, err := ca.New(ca.Options{Host: "demo", ECDSA: true})
	if err != nil {
		return fmt.Errorf("make an authority: %w", err)
	}
	host, err := h.Platform(g.log)
	if err != nil {
		return err
	}
	listening := make(chan struct{})
	g.proxy = &transom.Proxy{
		Captures: []capture.Capture{capture.Redirect{Listen: netip.AddrPortFrom(netip.Addr{}, proxyPort)}},
		Settings: transom.Settings{
			Issuer:        authority,
			UpstreamRoots: server.roots,
			Direct:        landing.Handler(authority),
		},
		Host:      host,
		Log:       g.log,
		Listening: func([]net.Addr) error { close(listening); return nil },
	}
	ctx, g.drain = context.WithCancel(ctx)
	watching := context.WithoutCancel(ctx) // the last flows come after the draining; Close ends it
	news := g.proxy.Watch(watching)
	g.wg.Go(func() {
		// Writing to memory does not fail.
		_ = show.Run(watching, &g.shown, news, show.Options{
			Detail: 1, Store: g.proxy.Flows(), Log: g.log, Color: show.ColorFor(g.out),
		})
	})
	g.ended = make(chan error, 1)
	g.wg.Go(func() {
		err := g.proxy.Run(ctx)
		g.proxy.Close()
		g.ended <- errors.Join(err, host.Close())
	})
	select {
	case <-listening:
		return nil
	case err := <-g.ended:
		if err == nil {
			err = context.Cause(ctx) // all that ends it in order
		}
		g.ended <- nil
		return errors.Join(fmt.Errorf("start the proxy: %w", err), g.stop())
	}
}

// stop lets the proxy finish what is open, and waits for it. It may be called
// more than once.
func (g *gateway) stop() error {
	g.once.Do(func() {
		g.drain()
		g.wg.Wait()
		g.result = <-g.ended
	})
	return g.result
}

// check compares what was recorded of redirected connections with what the
// device did, by type of flow.
func (g *gateway) check(ctx context.Context, wanted map[string]int) error {
	got := map[string]int{}
	for f, err := range g.proxy.Flows().Flows(ctx, store.Query{}) {
		if err != nil {
			return fmt.Errorf("read the recorded flows: %w", err)
		}
		if f.Conn.Via == "redirect" {
			got[f.Type()]++
		}
	}
	for kind, n := range wanted {
		if got[kind] < n {
			return fmt.Errorf("the proxy recorded %d flows of type %s, and the phone made %d: the redirect does not work here", got[kind], kind, n)
		}
	}
	return nil
}
