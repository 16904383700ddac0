package testnet

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"sync"

	"transom/egress"
	"transom/platform"
)

// A Host is a platform.Host that touches nothing: it dials in a Net, says what
// it was set up to say, and writes down what it was asked. The fields are set
// before it is used.
type Host struct {
	// Net is where Dial goes; nil refuses every connection.
	Net *Net
	// Original answers OriginalDst; nil says that nothing was redirected.
	Original func(c net.Conn) (dst netip.AddrPort, via string, err error)
	// ListenErr, if set, is what Listen fails with.
	ListenErr error
	// Denied, if set, is why listeners are not transparent.
	Denied error
	// ApplyErr, if set, is what Apply fails with.
	ApplyErr error

	mu    sync.Mutex
	own   []netip.Addr
	calls []string
}

var _ platform.Host = (*Host)(nil)

// SetOwn replaces the host's own addresses; loopback and what a Net dials from
// are always among them.
func (h *Host) SetOwn(addrs ...netip.Addr) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.own = slices.Clone(addrs)
}

// Calls returns a line for each call that asked the host to do something, in
// order: "listen 127.0.0.1:0 transparent", "dial 203.0.113.7:80 from
// 10.0.0.2:4000 mark 1", "close".
func (h *Host) Calls() []string {
	h.mu.Lock()
	defer h.mu.Unlock()
	return slices.Clone(h.calls)
}

func (h *Host) note(line string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.calls = append(h.calls, line)
}

// Listen implements platform.Sockets. platform.Listener holds a real socket, so
// this is the one thing here that opens one: on loopback, whatever s.Bind's
// address is, with a port of the system's choice. It can't be used in a
// synctest bubble.
func (h *Host) Listen(ctx context.Context, s platform.Socket) (*platform.Listener, error) {
	h.note("listen " + s.Bind.String() + options(s))
	if h.ListenErr != nil {
		return nil, h.ListenErr
	}
	if s.Transparent && s.Require && h.Denied != nil {
		return nil, fmt.Errorf("listen on %s: %w", s.Bind, h.Denied)
	}
	l, err := new(net.ListenConfig).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	pl := &platform.Listener{TCPListener: l.(*net.TCPListener)}
	if s.Transparent {
		pl.Transparent, pl.Denied = h.Denied == nil, h.Denied
	}
	return pl, nil
}

// Dial implements platform.Sockets.
func (h *Host) Dial(ctx context.Context, s platform.Socket, dst netip.AddrPort) (net.Conn, error) {
	return h.dial(ctx, "dial ", egress.Target{Network: "tcp", Addr: dst, From: s.Bind}, s)
}

func (h *Host) dial(ctx context.Context, verb string, t egress.Target, s platform.Socket) (net.Conn, error) {
	line := verb + t.Addr.String()
	if t.From.IsValid() {
		line += " from " + t.From.String()
	}
	h.note(line + options(s))
	n := h.Net
	if n == nil {
		n = NewNet()
	}
	return n.Dial(ctx, t)
}

// ListenUDP implements platform.Datagrams: it has none, see Source.InjectUDP.
func (h *Host) ListenUDP(_ context.Context, s platform.Socket) (*platform.PacketListener, error) {
	h.note("listen udp " + s.Bind.String() + options(s))
	return nil, fmt.Errorf("capture datagrams: %w", platform.ErrUnsupported)
}

// DialUDP implements platform.Sockets.
func (h *Host) DialUDP(ctx context.Context, s platform.Socket, dst netip.AddrPort) (net.Conn, error) {
	return h.dial(ctx, "dial udp ", egress.Target{Network: "udp", Addr: dst, From: s.Bind}, s)
}

// Answerer implements platform.Datagrams: it makes no sockets.
func (h *Host) Answerer(uint32) platform.Answerer { return noAnswerer{} }

type noAnswerer struct{}

func (noAnswerer) Answer(context.Context, netip.AddrPort, netip.AddrPort) (*net.UDPConn, error) {
	return nil, fmt.Errorf("answer a datagram: %w", platform.ErrUnsupported)
}

func options(s platform.Socket) string {
	line := ""
	if s.Transparent {
		line += " transparent"
	}
	if s.Require {
		line += " required"
	}
	if s.Mark != 0 {
		line += fmt.Sprintf(" mark %d", s.Mark)
	}
	return line
}

// OriginalDst implements platform.Destinations.
func (h *Host) OriginalDst(_ context.Context, c net.Conn) (netip.AddrPort, string, error) {
	if h.Original == nil {
		return netip.AddrPort{}, "", fmt.Errorf("original destination of %s: %w", c.RemoteAddr(), platform.ErrDirect)
	}
	return h.Original(c)
}

// Own implements platform.Addresses.
func (h *Host) Own(a netip.Addr) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	a = a.Unmap()
	return a.IsLoopback() || a == dialsFrom4 || a == dialsFrom6 || slices.Contains(h.own, a)
}

// Apply implements platform.Network: it writes down what it would do.
func (h *Host) Apply(_ context.Context, want platform.Steering) error {
	line := "apply nothing"
	if !want.IsZero() {
		line = fmt.Sprintf("apply %s to :%d from %q local %t spoof %t closed %t draining %t",
			want.Method, want.Port, want.Interfaces, want.Local, want.Spoof, want.Closed, want.Draining)
	}
	h.note(line)
	return h.ApplyErr
}

// Close implements platform.Host.
func (h *Host) Close() error {
	h.note("close")
	return nil
}
