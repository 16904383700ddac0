package engine

import (
	"errors"
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
	peers    map[pair]*session // clients being served
	upstream map[pair]int      // our connections to servers
}

// A pair is both ends of a connection: who dialled, and what was dialled. A
// source port alone may serve several connections at once.
type pair struct {
	from, to netip.AddrPort
	udp      bool
}

// NewGuard returns a guard for the addresses of host.
func NewGuard(host platform.Addresses) *Guard {
	return &Guard{
		host:     host,
		ports:    map[uint16]int{},
		peers:    map[pair]*session{},
		upstream: map[pair]int{},
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

// Refuse returns an error that wraps ErrSelf if dst is ours. It is for dialers
// that resolve names.
func (g *Guard) Refuse(dst netip.AddrPort) error {
	if g.Ours(dst) {
		return ErrSelf
	}
	return nil
}

// enter registers a client and where it was going. It reports false if the
// client is ourselves; if that turns out later, s is cancelled.
func (g *Guard) enter(p pair, s *session) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.upstream[p] > 0 {
		return false
	}
	g.peers[p] = s
	return true
}

func (g *Guard) leave(p pair, s *session) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.peers[p] == s {
		delete(g.peers, p)
	}
}

// dialed registers a connection of ours to a server. It reports false if the
// connection has come back to us, and ends what we were making of it. One whose
// local address is not this host's says nothing: we assumed the client's, so it
// may have the ends of the client's own connection.
func (g *Guard) dialed(p pair) bool {
	if !g.host.Own(p.from.Addr()) {
		return true
	}
	g.mu.Lock()
	s, loop := g.peers[p]
	if !loop {
		g.upstream[p]++
	}
	g.mu.Unlock()
	if loop {
		s.cancel(errLoop)
	}
	return !loop
}

func (g *Guard) closed(p pair) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.upstream[p]--; g.upstream[p] <= 0 {
		delete(g.upstream, p)
	}
}

// ErrSelf is wrapped by a dialer's error when the address is our own.
var ErrSelf = errors.New("that is transom itself")
