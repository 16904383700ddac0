package tlsterm

import (
	"cmp"
	"container/list"
	"crypto/tls"
	"crypto/x509"
	"net/netip"
	"sync"
	"time"
)

// A Sessions holds what is needed to resume TLS on both legs: the keys of the
// tickets that clients get from us, and the sessions that servers gave us. A
// proxy has one. Its methods may be called by many goroutines.
//
// How the legs belong together: a client's tickets name a lineage, and a session
// that its server gave us is kept under that name. It is offered to the server
// only if the client comes back with such a ticket. So the server is asked to
// resume when the client asks, and sees two visits as one visitor's only if it
// would have without us: programs behind one address, and a browser's private
// windows, stay apart.
type Sessions struct {
	// tickets encrypts what clients are given. A Config that is given no keys
	// makes its own, a new one each day, and takes each for seven days: the life
	// of a ticket.
	tickets tls.Config

	mu     sync.Mutex
	byKey  map[sessionKey]*list.Element
	recent list.List // of *serverSession, the most recently used first
	bytes  int
	room   int
}

// SessionsOptions say how much is kept.
type SessionsOptions struct {
	MaxBytes int              // of servers' sessions; 0 is 16 MiB, room for some four thousand
	Now      func() time.Time // the clock; nil is time.Now
}

// maxSessionCost keeps out what is not worth its room: a chain of many
// certificates, a ticket of the largest size.
const maxSessionCost = 64 << 10

// NewSessions returns an empty Sessions.
func NewSessions(o SessionsOptions) *Sessions {
	s := &Sessions{byKey: make(map[sessionKey]*list.Element), room: cmp.Or(o.MaxBytes, 16<<20)}
	s.tickets.Time = o.Now
	return s
}

// A sessionKey says who may resume a session, with whom, and as what.
type sessionKey struct {
	lineage lineageID
	client  netip.Addr
	server  string // host:port
	name    string // SNI
	alpn    string // the offer
	roots   *x509.CertPool
	skip    bool // verification is off
}

// A serverSession is one that a server gave us.
type serverSession struct {
	key   sessionKey
	state *tls.ClientSessionState
	cost  int
}

// put keeps a session in place of the one before.
func (s *Sessions) put(n *serverSession) {
	ticket, state, err := n.state.ResumptionState()
	if err != nil || state == nil {
		return
	}
	b, err := state.Bytes()
	if err != nil {
		return
	}
	n.cost = 1<<10 + len(n.key.server) + len(n.key.name) + len(n.key.alpn) + len(ticket) + 2*len(b) // certificates are kept parsed
	if n.cost > maxSessionCost {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.removeLocked(s.byKey[n.key])
	s.byKey[n.key] = s.recent.PushFront(n)
	s.bytes += n.cost
	for s.bytes > s.room {
		s.removeLocked(s.recent.Back())
	}
}

// get returns the session of key, nil if there is none. It stays until the
// server gives another.
func (s *Sessions) get(key sessionKey) *tls.ClientSessionState {
	s.mu.Lock()
	defer s.mu.Unlock()
	e := s.byKey[key]
	if e == nil {
		return nil
	}
	s.recent.MoveToFront(e)
	return e.Value.(*serverSession).state
}

// remove forgets the session of key.
func (s *Sessions) remove(key sessionKey) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.removeLocked(s.byKey[key])
}

func (s *Sessions) removeLocked(e *list.Element) {
	if e == nil {
		return
	}
	n := s.recent.Remove(e).(*serverSession)
	delete(s.byKey, n.key)
	s.bytes -= n.cost
}
