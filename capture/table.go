package capture

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"sync"
	"time"

	"transom/flow"
	"transom/platform"
)

// A hearer is a platform.PacketListener.
type hearer interface {
	Hear(heard func(p []byte, client, dst netip.AddrPort)) error
	Drain(most int, heard func(p []byte, client, dst netip.AddrPort)) error
	Close() error
}

// A socket is a platform.PacketConn.
type socket interface {
	net.Conn
	ReadPooled(pool *sync.Pool) (*platform.Packet, int, error)
	Sender() netip.AddrPort
}

// A pair is who speaks to whom.
type pair struct{ client, dst netip.AddrPort }

// Bounds of one conversation: how much of it may have been heard and not read.
const (
	queueCount = 64
	queueBytes = 256 << 10
	acceptMost = 256 // conversations that nobody has accepted yet
)

// A table is the source of a Datagrams. Its lock is held for no I/O; who hears
// holds the listener's lock around it.
type table struct {
	l      hearer
	log    *slog.Logger
	addr   netip.AddrPort
	own    func(netip.Addr) bool
	answer func(ctx context.Context, client, dst netip.AddrPort) (socket, error)
	refuse func(client, dst netip.AddrPort) error // nil if nobody can

	most     int
	waiting  int64 // how many bytes may be queued
	accepted chan *conversation
	quit     chan struct{} // closed by Close
	hears    sync.WaitGroup
	close    onceErr

	mu      sync.Mutex
	known   map[pair]*conversation
	recent  conversation // the head of a ring: next is the latest heard of, prev the one silent for longest
	queued  int64        // bytes
	closed  bool
	broken  error // how hearing ended, if not by Close
	told    time.Time
	dropped int64 // datagrams that found no room, and ...
	crowded int64 // ... conversations that made some, since it was told
}

func newTable(l hearer, log *slog.Logger, d Datagrams) *table {
	t := &table{
		l: l, log: log, most: d.Conversations, waiting: d.Waiting,
		accepted: make(chan *conversation, acceptMost), known: map[pair]*conversation{}, quit: make(chan struct{}),
	}
	if t.most <= 0 {
		t.most = 8192
	}
	if t.waiting <= 0 {
		t.waiting = 16 << 20
	}
	t.recent.next, t.recent.prev = &t.recent, &t.recent
	return t
}

// begin hears until Close.
func (t *table) begin() {
	t.hears.Go(func() {
		for pause := time.Duration(0); ; {
			err := t.l.Hear(t.heard)
			if err == nil {
				pause = 0
				continue
			}
			if !passes(err) || !t.wait(&pause, err) {
				t.mu.Lock()
				t.broken = err
				t.mu.Unlock()
				close(t.accepted)
				return
			}
		}
	})
}

// wait waits out a failure that passes; false says that it is over.
func (t *table) wait(pause *time.Duration, err error) bool {
	if *pause == 0 {
		t.log.Warn("cannot hear datagrams for the moment; "+remedy(err), "listen", t.addr, "err", err)
	}
	*pause = min(max(2**pause, 5*time.Millisecond), time.Second)
	timer := time.NewTimer(*pause)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-t.quit:
		return false
	}
}

// heard takes one datagram, from the listener, whose lock is held so that their order
// stays, or from a conversation that it was not for. What can't be kept is dropped, the newest first: that is what
// a socket does.
func (t *table) heard(p []byte, client, dst netip.AddrPort) {
	if dst.Port() == t.addr.Port() && t.own(dst.Addr()) || client.Addr().IsLinkLocalUnicast() || client.Port() == 0 {
		return // it is for us; or can't be answered
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	defer t.tellLocked()
	if t.closed || t.broken != nil {
		return
	}
	c := t.known[pair{client, dst}]
	if c == nil {
		if len(t.accepted) == cap(t.accepted) {
			t.dropped++
			return
		}
		c = t.addLocked(pair{client, dst})
		t.putLocked(c, p)
		t.accepted <- c // there is room: only here is something sent
		return
	}
	t.putLocked(c, p)
}

// addLocked makes a conversation, and room for it.
func (t *table) addLocked(p pair) *conversation {
	if len(t.known) >= t.most {
		t.crowded++
		t.removeLocked(t.recent.prev, ErrCrowded)
	}
	c := &conversation{t: t, pair: p, start: time.Now()}
	c.more = sync.NewCond(&t.mu)
	t.known[p] = c
	c.linkLocked(&t.recent)
	return c
}

func (t *table) putLocked(c *conversation, p []byte) {
	c.touchLocked()
	if len(c.queue) >= queueCount || c.bytes+int64(len(p)) > queueBytes || t.queued+int64(len(p)) > t.waiting {
		t.dropped++
		c.lost++
		return
	}
	c.queue = append(c.queue, append([]byte(nil), p...))
	c.bytes += int64(len(p))
	t.queued += int64(len(p))
	c.more.Broadcast()
	if c.socket != nil && c.waiting { // it was heard all the same
		_ = c.socket.SetReadDeadline(time.Unix(1, 0)) // fails of a closed one, which nobody reads
	}
}

// removeLocked ends a conversation.
func (t *table) removeLocked(c *conversation, why error) {
	if c.ended != nil {
		return
	}
	c.ended = why
	c.next.prev, c.prev.next = c.prev, c.next
	c.next, c.prev = nil, nil
	if t.known[c.pair] == c {
		delete(t.known, c.pair)
	}
	t.queued -= c.bytes
	c.queue, c.bytes = nil, 0
	c.more.Broadcast()
	if c.socket != nil {
		c.socket.Close() // which does not wait
	}
}

// tellLocked says at most once a minute that something found no room.
func (t *table) tellLocked() {
	if t.dropped+t.crowded == 0 {
		return
	}
	now := time.Now()
	if !t.told.IsZero() && now.Sub(t.told) < time.Minute {
		return
	}
	t.log.Warn("datagrams come faster, or in more conversations at once, than there is room for; what is lost is left to who sent it to send again",
		"datagrams_dropped", t.dropped, "conversations_ended", t.crowded, "conversations", len(t.known))
	t.told, t.dropped, t.crowded = now, 0, 0
}

// Addr implements Source.
func (t *table) Addr() net.Addr { return net.UDPAddrFromAddrPort(t.addr) }

// Accept implements Source.
func (t *table) Accept(ctx context.Context) (*Conn, error) {
	for {
		select {
		case c, ok := <-t.accepted:
			if !ok {
				return nil, t.end()
			}
			if !c.over() {
				return &Conn{Conn: c, Info: c.info()}, nil
			}
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		}
	}
}

// Rest implements Source.
func (t *table) Rest(most int) (rest []*Conn) {
	_ = t.l.Drain(drainMost, t.heard) // what has been heard is there in any case
	for len(rest) < most {
		select {
		case c, ok := <-t.accepted:
			if !ok {
				return rest
			}
			if !c.over() {
				rest = append(rest, &Conn{Conn: c, Info: c.info()})
			}
		default:
			return rest
		}
	}
	return rest
}

// end is how hearing ended.
func (t *table) end() error {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.closed || errors.Is(t.broken, net.ErrClosed) {
		return net.ErrClosed
	}
	return fmt.Errorf("hear datagrams on %s: %w", t.addr, t.broken)
}

// Close implements Source. What was accepted lives on, and hears what comes to
// its own socket.
func (t *table) Close() error {
	return t.close.do(func() error {
		t.mu.Lock()
		t.closed = true
		t.mu.Unlock()
		err := t.l.Close()
		close(t.quit)
		t.hears.Wait()
		for c := range t.accepted {
			c.Close()
		}
		return err
	})
}

// info describes a conversation.
func (c *conversation) info() *flow.Conn {
	return &flow.Conn{
		ID: flow.NewID(c.start), Start: c.start, Network: "udp", Via: "tproxy",
		Client: c.client, Local: c.dst, Dst: c.dst,
	}
}
