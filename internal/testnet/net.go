package testnet

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"slices"
	"sync"
	"syscall"

	"transom/egress"
)

// A Net is an internet in memory. It is an egress.Dialer, and the resolver of
// its names. Nobody listens at first: every connection is refused. Its methods
// may be called by many goroutines.
type Net struct {
	mu      sync.Mutex
	accept  map[netip.AddrPort]func(*Conn) bool // false refuses
	packets map[netip.AddrPort]func(*Packets)
	fates   map[netip.AddrPort]fate // by where it goes to
	sources map[netip.AddrPort]fate // by where it comes from
	names   map[string][]netip.Addr
	targets []egress.Target
	open    map[net.Conn]struct{} // server ends whose handler runs
	port    uint16                // last source port given out
	closed  bool
	wg      sync.WaitGroup // handlers
}

var _ egress.Dialer = (*Net)(nil)

// NewNet returns an empty internet. Close ends it.
func NewNet() *Net {
	return &Net{
		accept:  map[netip.AddrPort]func(*Conn) bool{},
		fates:   map[netip.AddrPort]fate{},
		sources: map[netip.AddrPort]fate{},
		names:   map[string][]netip.Addr{},
		packets: map[netip.AddrPort]func(*Packets){},
		open:    map[net.Conn]struct{}{},
		port:    40000,
	}
}

// Handle serves connections to addr with f, each in a goroutine of its own that
// Close waits for. The connection is closed when f returns.
func (n *Net) Handle(addr netip.AddrPort, f func(c *Conn)) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.accept[addr] = func(c *Conn) bool {
		n.mu.Lock()
		defer n.mu.Unlock()
		if n.closed {
			return false
		}
		n.open[c] = struct{}{}
		n.wg.Go(func() {
			defer n.done(c)
			f(c)
		})
		return true
	}
}

func (n *Net) done(c net.Conn) {
	c.Close() // f may have done so already
	n.mu.Lock()
	defer n.mu.Unlock()
	delete(n.open, c)
}

// HandleUDP serves conversations of datagrams with addr, as Handle does connections.
// Where nobody does, what is sent is refused.
func (n *Net) HandleUDP(addr netip.AddrPort, f func(c *Packets)) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.packets[addr] = f
}

// dialUDP begins a conversation. Nobody hears of it before something is sent.
func (n *Net) dialUDP(from, to netip.AddrPort) (net.Conn, error) {
	fates, _ := n.at(from, to)
	client, server := PacketPipe(n.source(from, to), to)
	for _, f := range fates {
		client.hole = client.hole || f.hole
		if f.errno != 0 {
			return nil, &net.OpError{Op: "dial", Net: "udp", Addr: net.UDPAddrFromAddrPort(to), Err: os.NewSyscallError("connect", f.errno)}
		}
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	f := n.packets[to]
	if f == nil || n.closed {
		server.Close()
		return client, nil
	}
	n.open[server] = struct{}{}
	n.wg.Go(func() {
		defer n.done(server)
		f(server)
	})
	return client, nil
}

// Listen returns a listener at addr, for servers that want one (http.Server,
// tls.NewListener). Its connections are *Conn.
func (n *Net) Listen(addr netip.AddrPort) *Listener {
	l := &Listener{addr: addr, queue: newQueue[*Conn]()}
	n.mu.Lock()
	defer n.mu.Unlock()
	n.accept[addr] = l.queue.put
	return l
}

// Name gives host its addresses.
func (n *Net) Name(host string, addrs ...netip.Addr) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.names[host] = addrs
}

// LookupNetIP finds the addresses of a name; it makes a Net the resolver of
// egress.Direct. network is "ip", "ip4" or "ip6".
func (n *Net) LookupNetIP(ctx context.Context, network, host string) ([]netip.Addr, error) {
	if err := context.Cause(ctx); err != nil {
		return nil, err
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	var found []netip.Addr
	for _, a := range n.names[host] {
		if network == "ip" || (network == "ip4") == a.Is4() {
			found = append(found, a)
		}
	}
	if found == nil {
		return nil, &net.DNSError{Err: "no such host", Name: host, IsNotFound: true}
	}
	return found, nil
}

// Targets returns what was dialled so far, in order.
func (n *Net) Targets() []egress.Target {
	n.mu.Lock()
	defer n.mu.Unlock()
	return slices.Clone(n.targets)
}

// Dial implements egress.Dialer. The addresses of a name are tried in order.
// The connection is a *Conn.
func (n *Net) Dial(ctx context.Context, t egress.Target) (net.Conn, error) {
	n.mu.Lock()
	n.targets = append(n.targets, t)
	n.mu.Unlock()
	if t.Network == "udp" {
		return n.dialUDP(t.From, t.Addr)
	}
	if t.Addr.Addr().IsValid() {
		return n.dial(ctx, t.From, t.Addr)
	}
	addrs, err := n.LookupNetIP(ctx, "ip", t.Host)
	if err != nil {
		return nil, fmt.Errorf("dial %s: %w", t.Host, err)
	}
	var errs []error
	for _, a := range addrs {
		c, err := n.dial(ctx, t.From, netip.AddrPortFrom(a, t.Addr.Port()))
		if err == nil {
			return c, nil
		}
		errs = append(errs, err)
	}
	return nil, errors.Join(errs...)
}

// dial connects to one address, after what fate holds for it.
func (n *Net) dial(ctx context.Context, from, to netip.AddrPort) (net.Conn, error) {
	fail := func(err error) (net.Conn, error) {
		return nil, &net.OpError{Op: "dial", Net: "tcp", Addr: net.TCPAddrFromAddrPort(to), Err: err}
	}
	if err := context.Cause(ctx); err != nil {
		return fail(err)
	}
	fates, accept := n.at(from, to)
	for _, f := range fates {
		if f.hole {
			<-ctx.Done()
			return fail(context.Cause(ctx))
		}
		if err := wait(ctx, f.delay); err != nil {
			return fail(err)
		}
		if f.errno != 0 {
			return fail(os.NewSyscallError("connect", f.errno))
		}
	}
	client, server := Pipe(n.source(from, to), to)
	if accept == nil || !accept(server) {
		return fail(os.NewSyscallError("connect", syscall.ECONNREFUSED))
	}
	return client, nil
}

// Where connections come from if no other address is asked for.
var (
	dialsFrom4 = netip.AddrFrom4([4]byte{192, 0, 2, 1})
	dialsFrom6 = netip.AddrFrom16([16]byte{0x20, 0x01, 0x0d, 0xb8, 15: 1})
)

// source is the address a connection comes from: the one that was asked for,
// else one of ours with a port of its own.
func (n *Net) source(from, to netip.AddrPort) netip.AddrPort {
	n.mu.Lock()
	defer n.mu.Unlock()
	a, p := from.Addr(), from.Port()
	switch {
	case a.IsValid():
	case to.Addr().Is4():
		a = dialsFrom4
	default:
		a = dialsFrom6
	}
	if p == 0 {
		n.port++
		p = n.port
	}
	return netip.AddrPortFrom(a, p)
}

// Close refuses what is dialled from now on at the addresses of Handle, closes
// the connections whose handlers still run, and waits for the handlers.
func (n *Net) Close() {
	n.mu.Lock()
	n.closed = true
	for c := range n.open {
		c.Close()
	}
	n.mu.Unlock()
	n.wg.Wait()
}

// A Listener accepts connections from a Net.
type Listener struct {
	addr  netip.AddrPort
	queue *queue[*Conn]
}

var _ net.Listener = (*Listener)(nil)

// Accept implements net.Listener.
func (l *Listener) Accept() (net.Conn, error) {
	c, err := l.queue.get(context.Background())
	if err != nil {
		return nil, &net.OpError{Op: "accept", Net: "tcp", Source: l.Addr(), Err: err}
	}
	return c, nil
}

// Addr implements net.Listener.
func (l *Listener) Addr() net.Addr { return net.TCPAddrFromAddrPort(l.addr) }

// Close implements net.Listener: connections nobody accepted are reset, new
// ones are refused.
func (l *Listener) Close() error {
	for _, c := range l.queue.close() {
		reset(c)
	}
	return nil
}
