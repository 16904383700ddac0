package egress

import (
	"container/list"
	"net/netip"
	"sync"
	"time"
)

// What is remembered of the networks of clients: whether answers to their
// addresses come back to us.
//
//	on --- two strikes and no success between them ---> off
//	off -- after ten minutes, one connection tries ---> on, or off for ten more
//
// A strike is a server that answered us and not the client's address that we
// had. Where answers came back lately there is a way, and less reason to doubt
// it: servers have longer to answer (assume.go), and each strikes once, since it
// may have something against that client.
const (
	enoughStrikes = 2
	offFor        = 10 * time.Minute
	lately        = time.Minute
	maxNetworks   = 4096 // about 1 MiB; the ones longest unused are forgotten
)

// A trial is what a spoofed connection has shown.
type trial uint8

const (
	unclear   trial = iota
	cameBack        // the server answered
	silence         // it did not, and did answer us
	forbidden       // this host may not have the address
)

// A change is what a trial has made of its network.
type change uint8

const (
	unchanged change = iota
	turnedOff
	turnedOn
)

// networks is bounded, and safe for concurrent use. The zero value is empty.
type networks struct {
	mu     sync.Mutex
	known  map[netip.Prefix]*list.Element
	recent list.List // of *network, the latest used first
}

type network struct {
	prefix  netip.Prefix
	strikes int
	struck  netip.Addr // the server of the last strike
	success time.Time  // when answers came back last
	retry   time.Time  // when to try again; zero if on
	trying  bool       // somebody does
}

// network returns the prefix that stands for a source: the network of a client,
// or the zero Prefix, as for a fixed address there is one for all.
func (s *Spoof) network(from netip.Addr) netip.Prefix {
	if s.mode == SpoofFixed {
		return netip.Prefix{}
	}
	bits := 24
	if from.Is6() {
		bits = 64
	}
	narrowest, _ := from.Prefix(bits) // can't fail of such a number
	for _, p := range s.From {
		if p.Contains(from) && p.Bits() > narrowest.Bits() {
			narrowest = p.Masked()
		}
	}
	return narrowest
}

// begin reports whether a connection is to be spoofed. If so, end must be called.
func (n *networks) begin(p netip.Prefix, now time.Time) bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	e := n.known[p]
	if e == nil {
		return true
	}
	n.recent.MoveToFront(e)
	w := e.Value.(*network)
	switch {
	case w.retry.IsZero():
		return true
	case w.trying || now.Before(w.retry):
		return false
	}
	w.trying = true
	return true
}

// works reports whether connections are spoofed, and is no trial.
func (n *networks) works(p netip.Prefix) bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	e := n.known[p]
	return e == nil || e.Value.(*network).retry.IsZero()
}

// cameBack reports whether answers came back lately.
func (n *networks) cameBack(p netip.Prefix, now time.Time) bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	e := n.known[p]
	return e != nil && e.Value.(*network).cameBack(now)
}

func (w *network) cameBack(now time.Time) bool {
	return !w.success.IsZero() && now.Sub(w.success) < lately
}

// end says what a connection to a server has shown.
func (n *networks) end(p netip.Prefix, server netip.Addr, t trial, now time.Time) change {
	n.mu.Lock()
	defer n.mu.Unlock()
	w := n.getLocked(p)
	wasOff := !w.retry.IsZero()
	w.trying = false
	switch t {
	case cameBack:
		*w = network{prefix: p, success: now}
		if wasOff {
			return turnedOn
		}
		return unchanged
	case silence:
		if !wasOff && !w.strike(server, now) {
			return unchanged
		}
	case unclear:
		return unchanged
	}
	w.retry = now.Add(offFor)
	if wasOff {
		return unchanged
	}
	return turnedOff
}

// strike counts, and reports whether it is enough.
func (w *network) strike(server netip.Addr, now time.Time) bool {
	again := w.struck == server
	w.struck = server
	if again && w.cameBack(now) {
		return false
	}
	w.strikes++
	return w.strikes >= enoughStrikes
}

// getLocked returns what is known of a network, with room for it.
func (n *networks) getLocked(p netip.Prefix) *network {
	if e := n.known[p]; e != nil {
		n.recent.MoveToFront(e)
		return e.Value.(*network)
	}
	if n.known == nil {
		n.known = map[netip.Prefix]*list.Element{}
	}
	if n.recent.Len() >= maxNetworks {
		oldest := n.recent.Remove(n.recent.Back()).(*network)
		delete(n.known, oldest.prefix)
	}
	w := &network{prefix: p}
	n.known[p] = n.recent.PushFront(w)
	return w
}
