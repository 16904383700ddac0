package testnet

import (
	"context"
	"net"
	"net/netip"
	"time"

	"transom/capture"
	"transom/flow"
)

// A Source is a capture that yields what a test injects. It is both the
// capture.Capture and the capture.Source that Open returns.
type Source struct {
	addr  netip.AddrPort
	queue *queue[*capture.Conn]
}

var (
	_ capture.Capture = (*Source)(nil)
	_ capture.Source  = (*Source)(nil)
)

// NewSource returns a source that says it listens at addr.
func NewSource(addr netip.AddrPort) *Source {
	return &Source{addr: addr, queue: newQueue[*capture.Conn]()}
}

// Inject makes a connection that client opened to dst and the redirector sent
// to the source. It returns the client's end, without waiting for Accept. The
// functions may change what Accept will return: set Direct or Err, say. After
// Close the client is reset.
func (s *Source) Inject(client, dst netip.AddrPort, with ...func(*capture.Conn)) *Conn {
	theirs, ours := pipe(client, dst, s.addr, client)
	now := time.Now()
	cc := &capture.Conn{Conn: ours, Info: &flow.Conn{
		ID: flow.NewID(now), Start: now, Network: "tcp", Via: "redirect",
		Client: client, Local: s.addr, Dst: dst,
	}}
	for _, f := range with {
		f(cc)
	}
	if !s.queue.put(cc) {
		reset(ours)
	}
	return theirs
}

// InjectUDP makes a conversation that client began with dst, and returns the client's
// end; nothing has been sent yet.
func (s *Source) InjectUDP(client, dst netip.AddrPort, with ...func(*capture.Conn)) *Packets {
	theirs, ours := PacketPipe(client, dst)
	now := time.Now()
	cc := &capture.Conn{Conn: ours, Info: &flow.Conn{
		ID: flow.NewID(now), Start: now, Network: "udp", Via: "tproxy", Client: client, Local: dst, Dst: dst,
	}}
	for _, f := range with {
		f(cc)
	}
	if !s.queue.put(cc) {
		ours.Close()
	}
	return theirs
}

// Accept implements capture.Source.
func (s *Source) Accept(ctx context.Context) (*capture.Conn, error) { return s.queue.get(ctx) }

// Rest implements capture.Source.
func (s *Source) Rest(most int) []*capture.Conn { return s.queue.rest(most) }

// Addr implements capture.Source.
func (s *Source) Addr() net.Addr { return net.TCPAddrFromAddrPort(s.addr) }

// Close implements capture.Source. What was injected and not accepted is reset.
func (s *Source) Close() error {
	for _, cc := range s.queue.close() {
		if c, ok := cc.Conn.(*Conn); ok {
			reset(c)
		} else {
			cc.Close()
		}
	}
	return nil
}

// Open implements capture.Capture: it returns the source itself.
func (s *Source) Open(context.Context, capture.Env) (capture.Source, error) { return s, nil }

// String implements capture.Capture.
func (s *Source) String() string { return "testnet@" + s.addr.String() }

func reset(c *Conn) {
	_ = c.SetLinger(0) // fails only when it is closed already
	c.Close()
}
