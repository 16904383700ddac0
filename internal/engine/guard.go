package engine

import (
	"net/netip"
	"sync"

	"transom/platform"
)

// A Guard keeps the proxy from talking to itself. A destination is ours if it
// is an address of this host with one of our ports; and a connection whose peer
// is the local end of one of our own connections to a server has come back to
// us by the redirector's doing.
type Guard struct {
	host platform.Addresses

	mu       sync.Mutex
	ports    map[uint16]int
	peers    map[netip.AddrPort]func() // clients being served, and how to end them
	upstream map[netip.AddrPort]int    // our ends of connections to servers
}

// NewGuard returns a guard for the addresses of host.
func NewGuard(host platform.Addresses) *Guard {
	return &Guard{
		host:     host,
		ports:    map[uint16]int{},
		peers:    map[netip.AddrPort]func(){},
		upstream: map[netip.AddrPort]int{},
	}
}

// Listen counts port as one of ours until the returned function is called.
func (g *Guard) Listen(port uint16) (done func()) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.ports[port]++
	return func() {
		g.mu.Lock()
		defer g.mu.Unlock()
		if g.ports[port]--; g.ports[port] == 0 {
			delete(g.ports, port)
		}
	}
}

// Ours reports whether whoever dials dst reaches us.
func (g *Guard) Ours(dst netip.AddrPort) bool {
	g.mu.Lock()
	mine := g.ports[dst.Port()] > 0
	g.mu.Unlock()
	return mine && (g.host.Own(dst.Addr()) || dst.Addr().IsUnspecified())
}

// enter registers a client. It reports false if the client is ourselves. end is
// called if that turns out later.
func (g *Guard) enter(client netip.AddrPort, end func()) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.upstream[client] > 0 {
		return false
	}
	g.peers[client] = end
	return true
}

func (g *Guard) leave(client netip.AddrPort) {
	g.mu.Lock()
	defer g.mu.Unlock()
	delete(g.peers, client)
}

// dialed registers our end of a connection to a server. It reports false if the
// connection has come back to us, and ends what we were making of it.
func (g *Guard) dialed(local netip.AddrPort) bool {
	g.mu.Lock()
	end, loop := g.peers[local]
	if !loop {
		g.upstream[local]++
	}
	g.mu.Unlock()
	if loop {
		end()
	}
	return !loop
}

func (g *Guard) closed(local netip.AddrPort) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.upstream[local]--; g.upstream[local] <= 0 {
		delete(g.upstream, local)
	}
}
