package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"maps"
	"net/netip"
	"os"
	"path/filepath"
	"slices"

	"transom/platform/lab"
	"transom/platform/nft"
)

// Ports of the origin server.
const (
	httpPort  = 80
	httpsPort = 443
	dnsPort   = 53   // UDP, as
	udpPort   = 5000 // this one
)

// A world is a client and a server with a gateway between them, an origin
// server on the server, and a packet filter on the gateway.
type world struct {
	*lab.Net
	self string // this program
	dir  string // certificates and configurations
	nft  *nft.Conn
}

func newWorld(ctx context.Context) (w *world, err error) {
	w = &world{}
	defer func() {
		if err != nil {
			err = errors.Join(err, w.close())
		}
	}()
	if w.self, err = os.Executable(); err != nil {
		return w, err
	}
	if w.dir, err = os.MkdirTemp("", "transom-bench-"); err != nil {
		return w, err
	}
	if err := writeCertificates(w.dir); err != nil {
		return w, fmt.Errorf("make the origin server's certificates: %w", err)
	}
	if w.Net, err = lab.Gateway(); err != nil {
		return w, fmt.Errorf("build the networks: %w", err)
	}
	for _, h := range []*lab.Host{w.Client, w.Gateway} {
		// Every new connection keeps a port for a minute.
		if err := h.Sysctl("net.ipv4.ip_local_port_range", "10000\t65000"); err != nil {
			return w, err
		}
	}
	if err := w.Client.AddAddr("eth0", netip.PrefixFrom(netip.MustParseAddr(excluded), 24)); err != nil {
		return w, err
	}
	err = w.Gateway.Do(func() error {
		w.nft, err = nft.Dial()
		return err
	})
	if err != nil {
		return w, fmt.Errorf("reach the packet filter: %w", err)
	}
	return w, w.startOrigin(ctx)
}

// close takes it all apart, as far as it was built.
func (w *world) close() error {
	var errs []error
	if w.nft != nil {
		errs = append(errs, w.nft.Close())
	}
	if w.Net != nil {
		errs = append(errs, w.Net.Close())
	}
	if w.dir != "" {
		errs = append(errs, os.RemoveAll(w.dir))
	}
	return errors.Join(errs...)
}

func (w *world) path(name string) string { return filepath.Join(w.dir, name) }

// startOrigin starts the origin server and waits until it listens. It is killed
// with the lab.
func (w *world) startOrigin(ctx context.Context) error {
	cmd := w.Server.Command(ctx, w.self, originRole, w.dir)
	cmd.Env = lazyCollector()
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		return err
	}
	if err := cmd.Start(); err != nil {
		return fmt.Errorf("start the origin server: %w", err)
	}
	if _, err := bufio.NewReader(out).ReadString('\n'); err != nil {
		return fmt.Errorf("start the origin server: %w", errors.Join(err, cmd.Wait()))
	}
	return nil
}

// lazyCollector is the environment of the two ends: what they take from the
// processors is missing to the proxy.
func lazyCollector() []string { return append(os.Environ(), "GOGC=800") }

// tableName is the packet filter's table.
const tableName = "transom_bench"

// redirect sends connections to the server's ports to ports of the gateway, in
// the place of what was redirected before. Those to other ports are forwarded.
func (w *world) redirect(ports map[uint16]uint16) error {
	var b nft.Batch
	b.Replace(redirection(ports))
	if err := w.nft.Commit(&b); err != nil {
		return fmt.Errorf("redirect connections: %w", err)
	}
	return nil
}

// discardPort is redirected always, though nobody uses it. Without any such rule
// the kernel stops to track connections, as no router does; and what it did not
// see the end of it would later take for a connection that goes on.
const discardPort = 9

func redirection(ports map[uint16]uint16) *nft.Table {
	c := nft.Chain{Name: "prerouting", Type: "nat", Hook: nft.Prerouting, Priority: -110}
	rule := func(from, to uint16) {
		c.Rules = append(c.Rules, nft.Rule{nft.IIFName("lan0"), nft.DPort(nft.TCP, from), nft.NotLocal(), nft.Redirect(to)})
	}
	rule(discardPort, discardPort)
	for _, from := range slices.Sorted(maps.Keys(ports)) {
		rule(from, ports[from])
	}
	return &nft.Table{Family: nft.Inet, Name: tableName, Owned: true, Chains: []nft.Chain{c}}
}

// server is the address of one of the origin server's ports.
func server(port uint16) netip.AddrPort {
	return netip.AddrPortFrom(netip.MustParseAddr(lab.ServerAddr4), port)
}
