package tlsterm

import (
	"bytes"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"encoding/binary"
	"net/netip"
	"slices"
	"strings"
	"sync/atomic"

	"transom/internal/proto/sniff"
)

// A Lineage ties one client's connection to those it resumes and to those that
// will resume it. One value is for one connection, and goes to Connect and then
// to Accept. Nil is a connection that nothing resumes.
type Lineage struct {
	sessions *Sessions
	key      sessionKey  // without what Connect's options say
	barred   bool        // do not resume with the server
	held     atomic.Bool // the server gave a session on this connection
}

type lineageID [16]byte

// Of returns the lineage of a client's connection to server ("host:port"): the
// one that a ticket in its hello names, else a new one. A nil Sessions has none.
func (s *Sessions) Of(client netip.Addr, server string, hello *sniff.Hello) *Lineage {
	if s == nil {
		return nil
	}
	l := &Lineage{sessions: s, key: sessionKey{
		client: client, server: server, name: hello.TLS.ServerName, alpn: strings.Join(hello.TLS.ALPN, "\x00"),
	}}
	for _, t := range hello.Tickets() {
		if state, err := s.tickets.DecryptTicket(t, tls.ConnectionState{}); err == nil && state != nil {
			if m, ok := markIn(state); ok {
				l.key.lineage = m.lineage
				return l
			}
		}
	}
	l.barred = true // nothing can be there
	rand.Read(l.key.lineage[:])
	return l
}

const (
	extSessionTicket = 35
	extPSKModes      = 45
)

// takesTickets reports whether a client wants tickets of either kind.
func takesTickets(h *sniff.Hello) bool {
	return slices.Contains(h.Extensions, extSessionTicket) || slices.Contains(h.Extensions, extPSKModes)
}

// A mark is what we write into our tickets: whose they are, and what a
// connection must be like to be resumed with them.
type mark struct {
	lineage lineageID
	like    [sha256.Size]byte
}

// markPrefix tells a mark from what others may put beside it.
const markPrefix = "transom 1:"

func (m *mark) bytes() []byte {
	return slices.Concat([]byte(markPrefix), m.lineage[:], m.like[:])
}

func markIn(state *tls.SessionState) (m mark, ok bool) {
	for _, extra := range state.Extra {
		rest, found := bytes.CutPrefix(extra, []byte(markPrefix))
		if found && len(rest) == len(m.lineage)+len(m.like) {
			copy(m.lineage[:], rest)
			copy(m.like[:], rest[len(m.lineage):])
			return m, true
		}
	}
	return m, false
}

// A serverCache is the tls.ClientSessionCache of one connection to a server.
type serverCache struct {
	l   *Lineage
	key sessionKey
}

// cache returns what crypto/tls keeps its session with the server in, nil if
// there is to be none: the client takes no tickets, so we ask for none.
func (l *Lineage) cache(hello *sniff.Hello, o *ConnectOptions) *serverCache {
	if l == nil || !takesTickets(hello) {
		return nil
	}
	c := &serverCache{l: l, key: l.key}
	c.key.roots, c.key.skip = o.Roots, o.SkipVerify
	return c
}

// Get implements tls.ClientSessionCache. Whatever crypto/tls would call the
// session, this connection has only the one.
func (c *serverCache) Get(string) (*tls.ClientSessionState, bool) {
	if c.l.barred {
		return nil, false
	}
	state := c.l.sessions.get(c.key)
	return state, state != nil
}

// Put implements tls.ClientSessionCache. A new session takes the place of the
// one before, so that in TLS 1.3 a ticket is used once if the server gives
// another each time (RFC 8446, appendix C.4). Many do not when they resume:
// OpenSSL's clients then use the one they have again, and so do we.
func (c *serverCache) Put(_ string, state *tls.ClientSessionState) {
	if state == nil {
		c.l.sessions.remove(c.key)
		return
	}
	c.l.held.Store(true)
	c.l.sessions.put(&serverSession{key: c.key, state: state})
}

// forget drops the session that the server did not like, and keeps the
// connection from offering another.
func (c *serverCache) forget() {
	if c != nil {
		c.l.barred = true
		c.l.sessions.remove(c.key)
	}
}

// answer makes cfg resume the client's connections, and lets them be resumed.
//
// A resumed client is shown no certificate and agrees to what was agreed before.
// So its ticket is good only for a connection that would come out the same: to
// the same server by the same name, which agreed to the same version and
// protocol and showed the same certificate, no better or worse verified. All
// else is a full handshake, in which the client sees what is new.
//
// Before TLS 1.3 a client gets a ticket if the server gave us one. In TLS 1.3 a
// server's tickets come after its handshake, and crypto/tls sends ours at the
// end of the client's, too early to know: clients get one in any case. It saves
// them the certificate, and the server then sees a full handshake, as it would.
func (l *Lineage) answer(cfg *tls.Config, o *Options) {
	if l == nil || o.Server == nil || o.Server.Version < tls.VersionTLS13 && !l.held.Load() && !o.Server.Resumed {
		cfg.SessionTicketsDisabled = true
		return
	}
	m := mark{l.key.lineage, l.like(o)}
	ours := &l.sessions.tickets
	cfg.WrapSession = func(cs tls.ConnectionState, state *tls.SessionState) ([]byte, error) {
		state.Extra = append(state.Extra, m.bytes())
		return ours.EncryptTicket(cs, state)
	}
	cfg.UnwrapSession = func(ticket []byte, cs tls.ConnectionState) (*tls.SessionState, error) {
		state, err := ours.DecryptTicket(ticket, cs)
		if err != nil || state == nil {
			return nil, nil // the server's from before us, or too old: not resumed
		}
		if got, ok := markIn(state); !ok || got.like != m.like {
			return nil, nil
		}
		return state, nil
	}
}

// like digests what a resumed connection must have in common with the first.
func (l *Lineage) like(o *Options) (sum [sha256.Size]byte) {
	h := sha256.New()
	add := func(p []byte) {
		h.Write(binary.BigEndian.AppendUint32(nil, uint32(len(p))))
		h.Write(p)
	}
	add([]byte(l.key.server))
	add([]byte(l.key.name))
	add([]byte(o.Name))
	add([]byte(o.Server.Protocol))
	add(binary.BigEndian.AppendUint16(nil, o.Server.Version))
	if len(o.Server.Chain) > 0 {
		add(o.Server.Chain[0])
	}
	if o.Untrusted {
		add([]byte("untrusted"))
	}
	if root := o.Issuer.Root(); root != nil {
		add(root.Raw)
	}
	h.Sum(sum[:0])
	return sum
}

var _ tls.ClientSessionCache = (*serverCache)(nil)
