package capture

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"strconv"

	"transom/platform"
)

// Datagrams captures UDP that the host's packet filter brings to a port of ours by
// TPROXY. All that one client sends from one port to one destination is a Conn, of
// which each Read and each Write is one datagram. Somebody else sets the rules.
//
//	listener   hears the first datagrams of a conversation
//	table      knows the conversations, and keeps what was heard for each
//	Conn       reads that, then a socket of its own, which is connected to the
//	           client and has the destination's address: what it writes comes
//	           from there, and what the client sends goes there from then on
//
// The Conn ends with Close, or when there are too many of them: net.ErrClosed and
// ErrCrowded. When it has been silent for too long is for who accepts it to say.
type Datagrams struct {
	// Listen is where to listen. An unspecified IPv6 address listens for IPv4
	// as well; the zero Addr does the same.
	Listen netip.AddrPort
	// Listener, if set, is a socket made elsewhere, taken over, in place of Listen.
	Listener *platform.PacketListener
	// Answerer makes the sockets towards clients; nil is the host's.
	Answerer platform.Answerer
	// Mark is the SO_MARK of the listener and of the host's sockets towards
	// clients; 0 sets none.
	Mark uint32

	Conversations int   // at once; past it the one silent for longest ends; 0 is 8192
	Waiting       int64 // bytes of all datagrams that were heard and not read; past it they are dropped; 0 is 16 MiB
}

var _ Capture = Datagrams{}

// ErrCrowded is what a conversation ends with that was silent for longest when
// there was no room for one more.
var ErrCrowded = errors.New("there were too many conversations, and this one was silent for longest")

// String returns "udp@8080" or "udp@127.0.0.1:8080".
func (d Datagrams) String() string {
	if d.Listener != nil {
		return "udp@" + d.Listener.Addr().String()
	}
	if a := d.Listen.Addr(); !a.IsValid() || a == netip.IPv6Unspecified() {
		return "udp@" + strconv.Itoa(int(d.Listen.Port()))
	}
	return "udp@" + d.Listen.String()
}

// Open implements Capture: it listens and says where.
func (d Datagrams) Open(ctx context.Context, env Env) (Source, error) {
	log := env.Log
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	l := d.Listener
	if l == nil {
		bind := d.Listen
		if !bind.Addr().IsValid() {
			bind = netip.AddrPortFrom(netip.IPv6Unspecified(), bind.Port())
		}
		if !env.Host.Own(bind.Addr()) && !bind.Addr().IsUnspecified() {
			return nil, fmt.Errorf("no interface of this host has the address %s", bind.Addr())
		}
		var err error
		if l, err = env.Host.ListenUDP(ctx, platform.Socket{Bind: bind, Mark: d.Mark}); err != nil {
			return nil, err
		}
	}
	by := d.Answerer
	if by == nil {
		by = env.Host.Answerer(d.Mark)
	}
	log.Debug("capturing datagrams", "capture", d.String(), "listen", l.Addr())
	t := newTable(l, log, d)
	t.addr = l.Addr()
	t.own = env.Host.Own
	if r, ok := by.(platform.Refuser); ok {
		t.refuse = r.Refuse
	}
	t.answer = func(ctx context.Context, client, dst netip.AddrPort) (socket, error) {
		c, err := by.Answer(ctx, client, dst)
		if err != nil {
			return nil, err
		}
		p, err := platform.NewPacketConn(c)
		if err != nil {
			c.Close()
			return nil, err
		}
		return p, nil
	}
	t.begin()
	return t, nil
}
